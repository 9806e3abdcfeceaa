"""The life of a request: locked, brought up to date, closed.

Every function here runs in a transaction. Locks are taken in one order: the
request, the model, the end of the audit chain.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from access.authz import is_allowed
from access.models import User
from access.privileges import Privilege
from approvals.binding import bind
from approvals.evidence import collect_evidence
from approvals.gate import unmet
from approvals.models import OPEN, ApprovalRequest, RequestStatus
from approvals.shapes import LinksJson
from core.errors import Conflict
from core.states import transition
from events.services import emit
from events.types import EventType
from registry import services as registry
from registry.models import Alias, RegisteredModel, VersionStatus

S = RequestStatus
_EVENTS = {
    S.APPLIED: EventType.APPROVAL_APPLIED,
    S.REJECTED: EventType.APPROVAL_REJECTED,
    S.CANCELLED: EventType.APPROVAL_CANCELLED,
    S.EXPIRED: EventType.APPROVAL_EXPIRED,
    S.SUPERSEDED: EventType.APPROVAL_SUPERSEDED,
    S.INVALIDATED: EventType.APPROVAL_INVALIDATED,
    S.FAILED: EventType.APPROVAL_FAILED,
}
_RELATED = (
    "model__schema__catalog",
    "model__owner__owner",
    "version__model",
    "version__created_by__owner",
    "requester__owner",
)


def lock(approval: ApprovalRequest) -> ApprovalRequest:
    """Read a request again and hold its row until the transaction ends."""
    rows = ApprovalRequest.objects.select_related(*_RELATED)
    locked = rows.select_for_update(of=("self",)).get(pk=approval.pk)
    # now, because moving the alias needs it, and no event may come before a lock
    RegisteredModel.recorded.select_for_update().only("pk").get(pk=locked.model_id)
    return locked


def lock_open(model: RegisteredModel, alias: str) -> ApprovalRequest | None:
    """Lock the open request of an alias, if there is one."""
    rows = ApprovalRequest.objects.select_related(*_RELATED).filter(
        model=model, alias__iexact=alias, status__in=OPEN
    )
    return rows.select_for_update(of=("self",)).first()


@transaction.atomic
def settle(approval: ApprovalRequest) -> ApprovalRequest:
    """Bring a request up to date by the clock and by what happened meanwhile."""
    locked = lock(approval)
    settle_locked(locked)
    return locked


def settle_locked(approval: ApprovalRequest) -> None:
    """Expire, invalidate, reset or rebind a locked request, when it is time to."""
    if not approval.is_open:
        return
    if approval.expires_at <= timezone.now():
        close(approval, S.EXPIRED, "Nobody decided in time.", principal=None)
    elif reason := _why_invalid(approval):
        close(approval, S.INVALIDATED, reason, principal=None)
    else:
        reset_if_moved(approval)
        rebind_if_policies_changed(approval)


def _why_invalid(approval: ApprovalRequest) -> str:
    """Say why nothing can come of an open request any more, or nothing."""
    version, requester = approval.version, approval.requester
    if version.status == VersionStatus.DELETED:
        return f"{version.full_name} was deleted."
    if version.tampered_at:
        return f"The bytes of {version.full_name} were changed on disk."
    if version.digest != approval.digest:
        return f"{version.full_name} has another digest than was asked for."
    if not (requester.is_active and requester.person.is_active):
        return f"{requester.username}, who asked, is switched off."
    if not is_allowed(requester, Privilege.OWN, approval.model):
        return f"{requester.username}, who asked, owns the model no more."
    return ""


def reset_if_moved(approval: ApprovalRequest) -> None:
    """Ask for a fresh look when the alias moved: earlier decisions count no more."""
    alias = registry.get_alias(approval.model, approval.alias)
    if generation_of(alias) == approval.alias_generation:
        return
    approval.alias_generation = generation_of(alias)
    approval.previous_version = alias.version if alias else None
    approval.evidence = collect_evidence(
        approval.version, approval.previous_version, principal=approval.requester
    )
    approval.save(update_fields=["alias_generation", "previous_version", "evidence"])
    reset(approval, "the alias moved meanwhile", principal=None)


def reset(
    approval: ApprovalRequest, because: str, *, principal: User | None, **data: Any
) -> None:
    """Strike out every decision on a locked request, bind it anew, tell reviewers."""
    rows = approval.decisions.filter(cleared_at=None)
    rows.update(cleared_at=timezone.now(), cleared_because=because)
    bind(approval)
    tell(
        EventType.APPROVAL_RESET, approval, principal=principal, because=because, **data
    )


def rebind_if_policies_changed(approval: ApprovalRequest) -> None:
    """Bind an open request to the policies now in force; its decisions stay.

    They are counted anew against the tighter policy, but who looked at the request
    before has to look again before deciding.
    """
    if bind(approval):
        tell(EventType.APPROVAL_POLICY_CHANGED, approval, principal=None)


def generation_of(alias: Alias | None) -> int:
    """Return how often an alias has moved; 0 for one that was never set."""
    return alias.generation if alias else 0


def require_current(approval: ApprovalRequest) -> None:
    """Let only a locked, pending, settled request through. Raises Conflict."""
    require_open(approval)
    alias = registry.get_alias(approval.model, approval.alias)
    if generation_of(alias) != approval.alias_generation:
        raise Conflict(f"{approval.full_name} moved meanwhile; look again.")
    if approval.expires_at <= timezone.now() or approval.version.tampered_at:
        raise Conflict("This approval request is closed.")


def require_open(approval: ApprovalRequest) -> None:
    """Let only an open request through. Raises Conflict, saying how it ended."""
    if not approval.is_open:
        reason = f" ({approval.closing_reason})" if approval.closing_reason else ""
        raise Conflict(
            f"This approval request is {approval.status}{reason}; nothing can be "
            "decided on it any more.",
            status=approval.status,
        )


def close(
    approval: ApprovalRequest,
    to: RequestStatus,
    reason: str,
    *,
    principal: User | None,
    **data: Any,
) -> None:
    """End a request, and tell why."""
    transition(approval, to, closed_at=timezone.now(), closing_reason=reason)
    tell(_EVENTS[to], approval, principal=principal, **data, closing_reason=reason)


def tell(
    event_type: EventType,
    approval: ApprovalRequest,
    *,
    principal: User | None,
    **data: Any,
) -> None:
    """Emit an event of a request, with all that is known and missing."""
    emit(
        event_type,
        approval,
        principal=principal,
        **describe(approval),
        **data,
        unmet=unmet(approval),
    )


def describe(approval: ApprovalRequest) -> dict[str, Any]:
    """Return what every event of a request tells about it."""
    previous = approval.previous_version
    return {
        "request_id": approval.id,
        "model": approval.model.full_name,
        "version": approval.version.number,
        "version_id": approval.version.id,
        "digest": approval.digest,
        "binding": approval.binding,
        "rollout_plan": approval.rollout_plan,
        "alias": approval.alias,
        "previous": previous.number if previous else None,
        "requested_by": approval.requester.username,
        "reason": approval.reason,
        "status": approval.status,
        "expires_at": approval.expires_at.isoformat(),
        "links": links(approval),
    }


def links(approval: ApprovalRequest) -> LinksJson:
    """Return where a request is looked at and decided."""
    rest = f"{settings.PUBLIC_URL}/api/v1/approvals/{approval.id}"
    return {"review": approval.url, "decide": f"{rest}/decisions"}
