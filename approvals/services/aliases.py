"""Move aliases: at once where nothing protects them, else by an applied request."""

from __future__ import annotations

from django.db import transaction

from access.authz import require
from access.models import User
from access.privileges import Privilege
from access.securables import Securable
from access.services import require_admin
from approvals.gate import unmet
from approvals.lifecycle import lock_open, reset_if_moved
from approvals.models import ApprovalRequest, RequestStatus
from approvals.policies import find_policy
from approvals.services.requests import request_alias
from core.errors import PermissionDenied
from events.models import Event
from events.types import EventType
from registry import services as registry
from registry.models import Alias, ModelVersion, RegisteredModel


def set_alias(
    model: RegisteredModel,
    alias: str,
    version: ModelVersion,
    *,
    reason: str = "",
    principal: User,
) -> Alias:
    """Point an alias at a version now, or ask for it where a policy protects it.

    On a protected alias the request is opened, or found, and PermissionDenied
    says where it is decided and what is missing. So do not call this inside a
    transaction of your own: the refusal would take the request with it.
    """
    require(principal, Privilege.OWN, model)
    if find_policy(model, alias) is None:
        return registry.set_alias(model, alias, version, principal=principal)
    current = registry.get_alias(model, alias)
    if current and current.version_id == version.pk:
        return current
    approval = request_alias(model, alias, version, reason=reason, principal=principal)
    missing = unmet(approval)
    raise PermissionDenied(
        f"{approval.full_name} is protected: moving it to version {version.number} "
        f"needs {'; '.join(missing)}. The request is open at {approval.url}",
        request_id=str(approval.id),
        request_url=approval.url,
        unmet=missing,
    )


@transaction.atomic
def adopt_alias(
    model: RegisteredModel,
    alias: str,
    version: ModelVersion,
    *,
    adopted_from: str,
    principal: User,
) -> Alias | None:
    """Set an alias that the version had in a registry that is taken over.

    Needs an admin. None where a policy protects the alias: nothing approved
    under our rules stands behind it, so the owner has to ask for it.
    """
    require_admin(principal)
    if find_policy(model, alias):
        return None
    return registry.adopt_alias(
        model, alias, version, adopted_from=adopted_from, principal=principal
    )


def delete_alias(model: RegisteredModel, alias: str, *, principal: User) -> None:
    """Delete an alias; a protected one can only be moved, by an approved request."""
    require(principal, Privilege.OWN, model)
    if policy := find_policy(model, alias):
        raise PermissionDenied(
            f"{model.full_name}@{alias} is protected by the policy "
            f"{policy.full_name} and cannot be deleted; ask for another version."
        )
    registry.delete_alias(model, alias, principal=principal)


@transaction.atomic
def restore_alias(
    model: RegisteredModel,
    alias: str,
    version: ModelVersion,
    *,
    authority: Securable,
    principal: User,
) -> Alias:
    """Point an alias back at a version that it rightfully had before.

    Needs SHIFT TRAFFIC on `authority`. A protected alias goes back only to what
    an applied request put there, with the same digest: that is still approved.
    """
    require(principal, Privilege.SHIFT_TRAFFIC, authority)
    waiting = lock_open(model, alias)
    if not _was_there(model, alias, version):
        raise PermissionDenied(
            f"{model.full_name}@{alias} was never moved to version "
            f"{version.number} by an approved request; open one."
        )
    restored = registry.restore_alias(
        model, alias, version, authority=authority, principal=principal
    )
    if waiting:
        reset_if_moved(waiting)
    return restored


def _was_there(model: RegisteredModel, alias: str, version: ModelVersion) -> bool:
    if find_policy(model, alias):
        return ApprovalRequest.objects.filter(
            model=model,
            alias__iexact=alias,
            version=version,
            digest=version.digest,
            status=RequestStatus.APPLIED,
        ).exists()
    return Event.objects.filter(
        type=EventType.ALIAS_SET,
        subject_id=model.pk,
        data__alias__iexact=alias,
        data__version_id=str(version.pk),
        data__digest=version.digest,
    ).exists()
