"""Aliases: movable names for a version. Only `approvals.services` moves them."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Lower
from django.utils import timezone

from access.authz import require
from access.models import User
from access.privileges import Privilege
from access.securables import Securable
from access.services import require_admin
from access.ways import require_able
from core.errors import Conflict, InvalidParameter, NotFound
from core.prepared import Prepared
from events.services import emit
from events.types import EventType
from registry.mlflow_rows import point_alias
from registry.models import (
    Alias,
    AliasMove,
    ModelVersion,
    RegisteredModel,
    VersionStatus,
)
from registry.names import check_alias
from registry.services.models import lock_model
from registry.store import store

_BY_NAME = Prepared[Alias](
    lambda model_id, name: (
        Alias.objects.select_related("version")
        .alias(key=Lower("name"))
        .filter(model_id=model_id, key=Lower(Value(name)))
    ),
    UUID,
    str,
)


def get_alias(model: RegisteredModel, name: str) -> Alias | None:
    """Return an alias of a model; names compare without case."""
    return _BY_NAME.first(model.pk, name)


@transaction.atomic
def set_alias(
    model: RegisteredModel, name: str, version: ModelVersion, *, principal: User
) -> Alias:
    """Point alias `name` of the model at `version`.

    Raises Conflict unless the version is READY and its bytes are intact.
    """
    require(principal, Privilege.OWN, model)
    return _move(model, name, version, principal)


@transaction.atomic
def restore_alias(
    model: RegisteredModel,
    name: str,
    version: ModelVersion,
    *,
    authority: Securable,
    principal: User,
) -> Alias:
    """Point an alias back at a version, by the right to shift traffic.

    `authority` is the endpoint that the principal steers.
    """
    require(principal, Privilege.SHIFT_TRAFFIC, authority)
    return _move(model, name, version, principal)


@transaction.atomic
def adopt_alias(
    model: RegisteredModel,
    name: str,
    version: ModelVersion,
    *,
    adopted_from: str,
    principal: User,
) -> Alias:
    """Point an alias where it pointed in a registry that an admin takes over."""
    require_admin(principal)
    return _move(model, name, version, principal, adopted_from=adopted_from)


@transaction.atomic
def break_glass(
    model: RegisteredModel,
    name: str,
    version: ModelVersion,
    *,
    reason: str,
    ticket: str = "",
    principal: User,
) -> Alias:
    """Point an alias at a version as an admin, past owner and policy (rule P-13)."""
    require_able(principal, "break_glass", model)
    return _move_past(model, name, version, principal, reason=reason, ticket=ticket)


@transaction.atomic
def bypass_policy(
    model: RegisteredModel,
    name: str,
    version: ModelVersion,
    *,
    reason: str,
    ticket: str = "",
    principal: User,
) -> Alias:
    """Point an alias at a version as somebody whom its policies let past them.

    Whom that is, the app above knows; EXECUTE is the least that it takes.
    """
    require(principal, Privilege.EXECUTE, model)
    return _move_past(model, name, version, principal, reason=reason, ticket=ticket)


def _move_past(
    model: RegisteredModel,
    name: str,
    version: ModelVersion,
    principal: User,
    *,
    reason: str,
    ticket: str,
) -> Alias:
    alias = _move(model, name, version, principal)
    emit(
        EventType.ALIAS_BREAK_GLASS,
        model,
        principal=principal,
        alias=alias.name,
        version=version.number,
        digest=version.digest,
        generation=alias.generation,
        reason=reason,
        ticket=ticket,
    )
    return alias


@transaction.atomic
def delete_alias(model: RegisteredModel, name: str, *, principal: User) -> None:
    """Delete an alias; its generation goes on counting. Raises NotFound."""
    require(principal, Privilege.OWN, model)
    alias = Alias.objects.select_for_update().filter(model=model, name__iexact=name)
    found = alias.exclude(version=None).first()
    if found is None or found.version is None:
        raise NotFound(f"{model.full_name} has no alias {name}.")
    previous = found.version.number
    store().delete_registered_model_alias(model.full_name, found.name)
    move = _save(found, None, principal)
    emit(
        EventType.ALIAS_DELETED,
        model,
        event_id=move.event_id,
        principal=principal,
        alias=found.name,
        previous=previous,
        generation=found.generation,
    )


def check_alias_move(model: RegisteredModel, name: str, version: ModelVersion) -> None:
    """Make sure that an alias can point at a version, whoever asks.

    Raises InvalidParameter for the name or another model's version, Conflict
    unless the version is READY and its bytes are intact.
    """
    check_alias(name)
    if version.model_id != model.pk:
        raise InvalidParameter(
            f"{version.full_name} is no version of {model.full_name}."
        )
    if version.status != VersionStatus.READY:
        raise Conflict(f"{version.full_name} is {version.status}, not ready.")
    if version.tampered_at:
        raise Conflict(f"The bytes of {version.full_name} were changed on disk.")


def _move(
    model: RegisteredModel,
    name: str,
    version: ModelVersion,
    principal: User,
    **origin: str,
) -> Alias:
    lock_model(model)
    version.refresh_from_db(fields=["status", "tampered_at"])
    check_alias_move(model, name, version)
    alias = get_alias(model, name)
    previous = alias.version if alias else None
    if alias is None:
        alias = Alias(model=model, name=name, generation=0)
    point_alias(model.full_name, alias.name, version.number)
    move = _save(alias, version, principal)
    emit(
        EventType.ALIAS_SET,
        model,
        event_id=move.event_id,
        principal=principal,
        alias=alias.name,
        version=version.number,
        version_id=version.id,
        digest=version.digest,
        previous=previous.number if previous else None,
        generation=alias.generation,
        **origin,
    )
    return alias


def _save(alias: Alias, version: ModelVersion | None, principal: User) -> AliasMove:
    alias.previous_version = alias.version
    alias.version = version
    alias.generation += 1
    alias.set_by = principal
    alias.set_at = timezone.now()
    alias.save()
    return AliasMove.objects.create(
        alias=alias,
        generation=alias.generation,
        version=version,
        previous_version=alias.previous_version,
        moved_by=principal,
        moved_at=alias.set_at,
    )
