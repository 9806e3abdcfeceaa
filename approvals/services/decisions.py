"""Decide and report; whatever meets the last condition moves the alias.

Bytes are hashed before the transaction: no lock is held while files are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from access.authz import require
from access.models import User
from access.privileges import Privilege
from approvals.due import look_again
from approvals.gate import conditions, interest_in, is_rejected, unmet, why_not
from approvals.lifecycle import (
    close,
    lock,
    require_current,
    require_open,
    settle,
    tell,
)
from approvals.models import (
    ApprovalRequest,
    Check,
    Decision,
    RequestStatus,
    Verdict,
    Via,
)
from core.errors import Conflict, DomainError, InvalidParameter, PermissionDenied
from core.states import transition
from events.types import EventType
from registry import artifacts
from registry import services as registry
from registry.models import Alias

S = RequestStatus


@dataclass(frozen=True)
class Report:
    """What an automated check found."""

    name: str
    passed: bool
    comment: str
    details_url: str
    evidence: dict[str, Any]


def decide(
    approval: ApprovalRequest,
    verdict: Verdict | str,
    *,
    digest: str,
    comment: str = "",
    via: Via = Via.API,
    principal: User,
) -> Decision:
    """Approve or reject a request for the bytes with this digest.

    The approval that meets the last condition moves the alias in the same
    transaction. Raises PermissionDenied without APPROVE or without four eyes,
    and Conflict for a wrong digest, a closed request or a second decision.
    """
    require(principal, Privilege.APPROVE, approval.model)
    verdict = _verdict(verdict)
    _require_undecided(approval, principal)
    require_settled(approval)
    require_digest(approval, digest)
    _require_four_eyes(approval, principal)
    if verdict == Verdict.APPROVE:
        require_intact(approval)
    with transaction.atomic():
        locked = lock(approval)
        require_current(locked)
        _require_undecided(locked, principal)
        return record_decision(
            locked, verdict, comment=comment, via=via, principal=principal
        )


def record_decision(
    approval: ApprovalRequest,
    verdict: Verdict,
    *,
    comment: str,
    via: Via,
    principal: User | None,
) -> Decision:
    """Write a decision on a locked request and draw the consequence.

    For `decide` and for callbacks, which have made sure that it may count;
    `principal` None is the holder of a callback.
    """
    decision = Decision.objects.create(
        request=approval,
        approver=principal,
        person=principal.person if principal else None,
        verdict=verdict,
        comment=comment,
        digest=approval.digest,
        via=via,
    )
    words = {"verdict": verdict, "comment": comment, "via": via}
    tell(EventType.APPROVAL_DECIDED, approval, principal=principal, **words)
    if verdict == Verdict.APPROVE:
        apply_if_ready(approval, principal=principal)
    elif is_rejected(approval):
        name = principal.username if principal else "a callback"
        reason = f"Rejected by {name}" + (f": {comment}" if comment else ".")
        close(approval, S.REJECTED, reason, principal=principal)
    return decision


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
    refused, and so are the service principals that they own. The latest report of a name counts. A green one that was the last condition
    moves the alias in the same transaction.
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


def require_settled(approval: ApprovalRequest) -> None:
    """Let only an open request through, whose alias is where the caller saw it."""
    settled = settle(approval)
    require_open(settled)
    if settled.alias_generation != approval.alias_generation:
        raise Conflict(
            f"{settled.full_name} moved since you looked, so earlier decisions were "
            "cleared; look again."
        )


def require_digest(approval: ApprovalRequest, digest: str) -> None:
    """Let only a caller through that means the bytes that were asked for."""
    if digest != approval.digest:
        raise Conflict(
            f"That is not the digest of this request; version "
            f"{approval.version.number} has {approval.digest}."
        )


def require_intact(approval: ApprovalRequest) -> None:
    """Hash the stored bytes; when they were changed, close the request and refuse.

    It reads files, so call it before the transaction that decides.
    """
    problems = artifacts.verify(approval.version)
    if not problems:
        return
    reason = f"The bytes of {approval.version.full_name} were changed on disk."
    with transaction.atomic():
        locked = lock(approval)
        registry.report_tampering(locked.version, problems)
        if locked.is_open:
            close(locked, S.INVALIDATED, reason, principal=None, problems=problems)
    raise Conflict(f"{reason} The request is invalidated.", problems=problems)


def _require_four_eyes(approval: ApprovalRequest, principal: User) -> None:
    if reason := why_not(approval, principal):
        raise PermissionDenied(
            reason,
            reasons=[{"missing": "four eyes", "full_name": approval.full_name}],
            request_url=approval.url,
            unmet=unmet(approval),
        )


def _require_undecided(approval: ApprovalRequest, principal: User) -> None:
    rows = approval.decisions.filter(cleared_at=None, person=principal.person)
    if earlier := rows.first():
        raise Conflict(
            f"{principal.person.username} already decided: {earlier.verdict}. "
            "A decision is final.",
            verdict=earlier.verdict,
        )


def _verdict(verdict: Verdict | str) -> Verdict:
    try:
        return Verdict(verdict)
    except ValueError as error:
        raise InvalidParameter("decision must be approve or reject.") from error


def apply_if_ready(approval: ApprovalRequest, *, principal: User | None) -> None:
    """Apply a locked request when nothing is missing any more.

    Its requester's right is asked for again; without it the request has failed.
    """
    if approval.status != S.PENDING:
        return
    if missing := [one for one in conditions(approval) if not one.is_met]:
        look_again(approval, missing)
        return
    transition(approval, S.APPROVED)
    tell(EventType.APPROVAL_APPROVED, approval, principal=principal)
    try:
        with transaction.atomic():
            alias = _move_alias(approval)
    except DomainError as error:
        close(approval, S.FAILED, error.message, principal=principal)
        return
    if alias.generation != approval.alias_generation + 1:
        raise Conflict(f"{approval.full_name} moved meanwhile; look again.")
    close(approval, S.APPLIED, "", principal=principal, generation=alias.generation)


def _move_alias(approval: ApprovalRequest) -> Alias:
    requester = approval.requester
    if not requester.is_active:
        raise PermissionDenied(f"{requester.username}, who asked, is switched off.")
    return registry.set_alias(
        approval.model, approval.alias, approval.version, principal=requester
    )
