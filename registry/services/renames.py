"""Rename models, and remember the names that they bore."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from access.authz import require
from access.models import User
from access.privileges import Privilege
from core.errors import Conflict, PermissionDenied
from events.services import emit
from events.types import EventType
from registry import hooks
from registry.models import FormerName, RegisteredModel
from registry.names import split_full_name
from registry.services.models import get_model, lock_model, refuse_taken
from registry.services.namespaces import get_schema, keep
from registry.services.replays import REPLAY
from registry.store import store


@transaction.atomic
def rename_model(
    model: RegisteredModel, new_name: str, *, principal: User
) -> RegisteredModel:
    """Give a model another full name; all that hangs on it stays (rule P-14).

    Into another schema only while no alias is set and no endpoint follows it:
    else it could leave a policy, be changed, and come back. A name under which
    another model had versions is refused, for their numbers mean those bytes.
    """
    require(principal, Privilege.OWN, model)
    catalog, schema_name, name = split_full_name(new_name, "new_name")
    schema = get_schema(f"{catalog}.{schema_name}")
    require(principal, Privilege.CREATE_MODEL, schema)
    keep(schema)
    locked = lock_model(model)
    old_name = locked.full_name
    if old_name == new_name:
        return model
    if schema.pk != locked.schema_id:
        _refuse_to_move(model)
    leave_name(locked, principal=principal)
    try:
        with transaction.atomic():
            RegisteredModel.objects.filter(pk=model.pk).update(
                schema=schema, name=name, full_name=new_name
            )
    except IntegrityError as error:
        refuse_taken(schema, name, principal=principal)
        raise PermissionDenied(f"You may not create {new_name}.") from error
    _refuse_used_before(model, new_name)
    store().rename_model(old_name, new_name)
    model = get_model(new_name)
    hooks.follow_rename(model, old_name)
    emit(
        EventType.REGISTERED_MODEL_RENAMED,
        model,
        principal=principal,
        before=old_name,
        after=new_name,
    )
    return model


def find_renamed(
    old_name: str, new_name: str, *, principal: User
) -> RegisteredModel | None:
    """Return the model that the principal has just renamed so.

    MLflow's client sends again what was cut off: the answer is then the same.
    """
    if RegisteredModel.objects.filter(full_name=old_name).exists():
        return None
    rows = FormerName.objects.filter(
        key=old_name.lower(),
        full_name=old_name,
        left_by=principal,
        left_at__gt=timezone.now() - REPLAY,
        model__full_name=new_name,
    )
    return get_model(new_name) if rows.exists() else None


def _refuse_used_before(model: RegisteredModel, new_name: str) -> None:
    others = FormerName.objects.filter(key=new_name.lower()).exclude(model=model)
    if others.filter(last_number__gt=0).exists():
        raise Conflict(
            f"new_name {new_name} was another model's, and its version numbers are "
            "never used again; choose another name."
        )


def _refuse_to_move(model: RegisteredModel) -> None:
    aliases = model.aliases.exclude(version=None).order_by("name")
    uses = [
        f"the alias {name} is set" for name in aliases.values_list("name", flat=True)
    ]
    if uses := uses + hooks.uses_of_model(model):
        raise Conflict(
            f"{model.full_name} cannot move to another schema: {'; '.join(uses)}. "
            "Copy its versions to a new model instead, or rename it within its schema.",
            uses=uses,
        )


def leave_name(model: RegisteredModel, *, principal: User) -> None:
    """Remember which numbers a model gave out under the name that it leaves."""
    last = model.versions.aggregate(last=Max("number"))["last"] or 0
    FormerName.objects.create(
        key=model.full_name.lower(),
        full_name=model.full_name,
        model=model,
        last_number=max(last, model.numbers_after),
        left_by=principal,
    )
