"""When a request that nobody has to say anything to any more is looked at again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.utils import timezone

from approvals.evaluation import APPROVALS, Condition
from approvals.models import ApprovalRequest

# metrics are recorded and approvers settle without telling us
_SOON = dt.timedelta(minutes=1)
_LATER = dt.timedelta(minutes=10)


def look_again(approval: ApprovalRequest, missing: Sequence[Condition]) -> None:
    """Note on a locked request when the sweep is to try it, given what is missing.

    While approvals are missing the next decision applies it, so the sweep only
    looks now and then, for an approver whose cooling period is over.
    """
    now = timezone.now()
    times = [one.until for one in missing if one.until]
    if any(one.kind == APPROVALS for one in missing):
        at = now + _LATER
    elif len(times) == len(missing):
        at = max(times)
    else:
        at = now + _SOON
    approval.look_again_at = at
    approval.save(update_fields=["look_again_at"])


def claim(approval: ApprovalRequest) -> bool:
    """Put off the next look; tell whether this caller is the one to look now."""
    now = timezone.now()
    rows = ApprovalRequest.objects.filter(
        pk=approval.pk, look_again_at=approval.look_again_at
    )
    return bool(rows.update(look_again_at=now + _SOON))
