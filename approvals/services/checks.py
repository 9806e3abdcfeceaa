"""What automated checks report; a green one may be the last condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from access.authz import require
from access.models import User
from access.privileges import Privilege
from approvals.gate import interest_in
from approvals.lifecycle import lock, require_current, tell
from approvals.models import ApprovalRequest, Check, Via
from approvals.services.application import (
    apply_if_ready,
    require_digest,
    require_intact,
    require_settled,
)
from core.errors import PermissionDenied
from events.types import EventType


@dataclass(frozen=True)
class Report:
    """What an automated check found."""

    name: str
    passed: bool
    comment: str
    details_url: str
    evidence: dict[str, Any]


def report_check(
    approval: ApprovalRequest,
    name: str,
    *,
    passed: bool,
    comment: str = "",
    details_url: str = "",
    evidence: dict[str, Any] | None = None,
    digest: str,
    principal: User,
) -> Check:
    """Report the result of an automated check; needs EXECUTE on the model.

    Nobody vouches for their own version: requester, author and owner are
    refused, and so are the service principals that they own. The latest report of a
    name counts. A green one that was the last condition moves the alias in the same
    transaction.
    """
    require(principal, Privilege.EXECUTE, approval.model)
    if interest := interest_in(approval, principal.person):
        raise PermissionDenied(
            f"{principal.username} may not report a check: {interest}.",
            reasons=[{"missing": "four eyes", "full_name": approval.full_name}],
        )
    report = Report(name, passed, comment, details_url, evidence or {})
    require_settled(approval)
    require_digest(approval, digest)
    if passed:
        require_intact(approval)
    with transaction.atomic():
        locked = lock(approval)
        require_current(locked)
        return record_check(locked, report, via=Via.API, principal=principal)


def record_check(
    approval: ApprovalRequest, report: Report, *, via: Via, principal: User | None
) -> Check:
    """Write a report on a locked request and draw the consequence.

    For `report_check` and for callbacks; `principal` None is a callback.
    """
    check = Check.objects.create(
        request=approval,
        name=report.name,
        passed=report.passed,
        comment=report.comment,
        details_url=report.details_url,
        evidence=report.evidence,
        digest=approval.digest,
        via=via,
        reported_by=principal,
    )
    words = {"passed": report.passed, "comment": report.comment, "via": via}
    tell(
        EventType.APPROVAL_CHECKED,
        approval,
        principal=principal,
        check=report.name,
        **words,
    )
    apply_if_ready(approval, principal=principal)
    return check
