"""Ask for a protected alias; withdraw the wish."""

from __future__ import annotations

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from access.authz import require
from access.models import User
from access.privileges import Privilege
from access.services import is_cooling
from approvals.lifecycle import (
    close,
    generation_of,
    lock,
    lock_open,
    require_open,
    settle_locked,
    tell,
)
from approvals.models import ApprovalRequest, RequestStatus
from approvals.policies import policies_in_force, snapshot
from core.errors import Conflict, PermissionDenied
from events.types import EventType
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel

S = RequestStatus
_ATTEMPTS = 5


def request_alias(
    model: RegisteredModel,
    alias: str,
    version: ModelVersion,
    *,
    reason: str = "",
    principal: User,
) -> ApprovalRequest:
    """Ask for a protected alias to be moved to a version.

    Asking again for the same version finds the open request; asking for another
    one supersedes it. Raises Conflict unless the version is READY and intact.
    """
    require(principal, Privilege.OWN, model)
    _require_settled_ownership(model, principal)
    registry.check_alias_move(model, alias, version)
    for _ in range(_ATTEMPTS):
        try:
            return _open(model, alias, version, reason, principal)
        except IntegrityError:
            continue  # another request for this alias was opened just now
    raise Conflict(f"{model.full_name}@{alias} is asked for by others; try again.")


def _require_settled_ownership(model: RegisteredModel, principal: User) -> None:
    """Refuse who became the owner only just now (rule P-22)."""
    if is_cooling(principal, model):
        hours = settings.COOLING_PERIOD.total_seconds() / 3600
        raise PermissionDenied(
            f"{model.full_name} changed hands less than {hours:g} hours ago; until "
            f"then {principal.username} cannot ask for its protected aliases.",
            reasons=[{"missing": "settled ownership", "full_name": model.full_name}],
        )


@transaction.atomic
def _open(
    model: RegisteredModel,
    alias: str,
    version: ModelVersion,
    reason: str,
    principal: User,
) -> ApprovalRequest:
    older = lock_open(model, alias)
    if older:
        settle_locked(older)
        if older.is_open and older.version_id == version.pk:
            return older
    policies = policies_in_force(model, alias)
    if not policies:
        raise Conflict(f"No policy protects {model.full_name}@{alias}; just set it.")
    current = registry.get_alias(model, alias)
    if current and current.version_id == version.pk:
        raise Conflict(f"{current.full_name} is version {version.number} already.")
    if older and older.is_open:
        reason_to_close = f"Version {version.number} was asked for instead."
        close(older, S.SUPERSEDED, reason_to_close, principal=principal)
    now = timezone.now()
    approval = ApprovalRequest.objects.create(
        model=model,
        version=version,
        digest=version.digest,
        alias=current.name if current else alias,
        previous_version=current.version if current else None,
        alias_generation=generation_of(current),
        policy=policies[0],
        policy_snapshot=snapshot(policies),
        requester=principal,
        reason=reason,
        opened_at=now,
        expires_at=now + min(policy.expires_after for policy in policies),
    )
    tell(EventType.APPROVAL_REQUESTED, approval, principal=principal)
    return approval


@transaction.atomic
def cancel(approval: ApprovalRequest, *, principal: User) -> ApprovalRequest:
    """Withdraw a request: by who asked for it, or with MANAGE of the model."""
    if principal.person != approval.requester.person:
        require(principal, Privilege.MANAGE, approval.model)
    locked = lock(approval)
    require_open(locked)
    reason = f"Withdrawn by {principal.username}."
    close(locked, S.CANCELLED, reason, principal=principal)
    return locked
