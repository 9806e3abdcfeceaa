"""Apply a request when nothing is missing; what must hold before anything counts.

Bytes are hashed before the transaction: no lock is held while files are read.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from access.models import User
from approvals.due import look_again
from approvals.gate import RELATED, conditions, why_struck
from approvals.lifecycle import close, lock, require_open, settle, tell
from approvals.models import ApprovalRequest, RequestStatus
from core.errors import Conflict, DomainError, PermissionDenied
from core.states import transition
from events.types import EventType
from registry import artifacts
from registry import services as registry
from registry.models import Alias

S = RequestStatus


def require_settled(approval: ApprovalRequest) -> ApprovalRequest:
    """Return an open request, whose alias is where the caller saw it, as it is now."""
    settled = settle(approval)
    require_open(settled)
    if settled.alias_generation != approval.alias_generation:
        raise Conflict(
            f"{settled.full_name} moved since you looked, so earlier decisions were "
            "cleared; look again."
        )
    return settled


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


def apply_if_ready(approval: ApprovalRequest, *, principal: User | None) -> None:
    """Apply a locked request when nothing is missing any more.

    Its requester's right is asked for again; without it the request has failed.
    """
    if approval.status != S.PENDING:
        return
    if missing := [one for one in conditions(approval) if not one.is_met]:
        look_again(approval, missing)
        return
    _strike_out(approval)
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


def _strike_out(approval: ApprovalRequest) -> None:
    """Keep for good which decisions did not count when the request was applied."""
    rows = approval.decisions.filter(cleared_at=None)
    for decision in rows.select_related(*RELATED):
        if because := why_struck(approval, decision):
            decision.cleared_at = timezone.now()
            decision.cleared_because = because
            decision.save(update_fields=["cleared_at", "cleared_because"])


def _move_alias(approval: ApprovalRequest) -> Alias:
    requester = approval.requester
    if not requester.is_active:
        raise PermissionDenied(f"{requester.username}, who asked, is switched off.")
    return registry.set_alias(
        approval.model, approval.alias, approval.version, principal=requester
    )
