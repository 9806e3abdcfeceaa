"""Apply what only had to wait; hold open requests to a policy that is new."""

from __future__ import annotations

from django.db import transaction

from approvals.gate import unmet
from approvals.lifecycle import lock, settle_locked
from approvals.models import ApprovalRequest
from approvals.policies import policies_of
from approvals.services.application import apply_if_ready, require_intact


def apply_waiting(approval: ApprovalRequest) -> ApprovalRequest:
    """Apply a request whose wait, freeze or stale check is over, if it is.

    No right is asked for but the requester's and the approvers', which count as
    they are now; the bytes are hashed again. Raises Conflict when they changed.
    """
    if not unmet(approval):
        require_intact(approval)
    with transaction.atomic():
        locked = lock(approval)
        settle_locked(locked)
        apply_if_ready(locked, principal=None)
    return locked


@transaction.atomic
def hold_to_policies(approval: ApprovalRequest) -> ApprovalRequest:
    """Hold an open request to the policies of now: it may have to end sooner."""
    locked = lock(approval)
    if not locked.is_open:
        return locked
    sooner = locked.opened_at + min(
        policy.expires_after for policy in policies_of(locked)
    )
    if sooner < locked.expires_at:
        locked.expires_at = sooner
        locked.save(update_fields=["expires_at"])
    settle_locked(locked)
    return locked
