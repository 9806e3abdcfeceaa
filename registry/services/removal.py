"""Delete models and versions, and leave tombstones: no number is used twice."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from access.models import User
from access.ways import require_able
from core.errors import Conflict, NotFound
from core.states import transition
from events.services import emit
from events.types import EventType
from registry import hooks
from registry.models import ModelVersion, RegisteredModel, VersionStatus
from registry.services.models import lock_model
from registry.services.renames import leave_name
from registry.store import store


@transaction.atomic
def delete_version(version: ModelVersion, *, principal: User) -> None:
    """Delete a version: it loads no more, and its number is never used again.

    Raises Conflict while an alias points at it or an endpoint serves it.
    """
    model = version.model
    require_deleting(model, principal)
    lock_model(model)
    locked = ModelVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
    if locked.status == VersionStatus.DELETED:
        raise NotFound(f"{version.full_name} was deleted.")
    aliases = locked.aliases.order_by("name").values_list("name", flat=True)
    uses = [f"the alias {name} points at it" for name in aliases]
    _refuse_used(version.full_name, uses + hooks.uses_of_version(locked))
    transition(locked, VersionStatus.DELETED, deleted_at=timezone.now())
    store().delete_model_version(model.full_name, version.number)
    emit(
        EventType.MODEL_VERSION_DELETED,
        version,
        principal=principal,
        version=version.number,
        digest=locked.digest,
    )


@transaction.atomic
def delete_model(model: RegisteredModel, *, principal: User) -> None:
    """Delete a model with its versions; its full name is free again.

    The row stays as a tombstone that nobody finds by name, with its grants and its
    history. Raises Conflict while an alias is set or an endpoint follows one.
    """
    require_deleting(model, principal)
    locked = lock_model(model)
    aliases = locked.aliases.exclude(version=None).order_by("name")
    uses = [f"the alias {alias.name} is set" for alias in aliases]
    _refuse_used(locked.full_name, uses + hooks.uses_of_model(locked))
    leave_name(locked, principal=principal)
    now = timezone.now()
    versions = locked.versions.exclude(status=VersionStatus.DELETED)
    numbers = sorted(versions.values_list("number", flat=True))
    versions.update(status=VersionStatus.DELETED, deleted_at=now)
    # '#' is in no name that can be asked for
    tombstone = f"{locked.full_name}#{locked.pk.hex}"
    RegisteredModel.objects.filter(pk=model.pk).update(
        full_name=tombstone, deleted_at=now
    )
    store().delete_registered_model(locked.full_name)
    emit(
        EventType.REGISTERED_MODEL_DELETED,
        locked,
        principal=principal,
        versions=numbers,
    )


def require_deleting(model: RegisteredModel, principal: User) -> None:
    """Let through who may delete a model or a version of it (rule P-17)."""
    require_able(principal, "delete", model)


def _refuse_used(full_name: str, uses: list[str]) -> None:
    if uses:
        raise Conflict(
            f"{full_name} is in use: {'; '.join(uses)}. End that first.", uses=uses
        )
