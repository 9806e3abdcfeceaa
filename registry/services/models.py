"""Registered models, their descriptions and tags."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max
from mlflow.entities.model_registry import RegisteredModelTag

from access.authz import is_allowed, is_visible, require
from access.models import User
from access.privileges import Privilege
from core.errors import AlreadyExists, PermissionDenied, unseen
from core.prepared import Prepared
from events.services import emit
from events.types import EventType
from registry import prompts
from registry.models import FormerName, RegisteredModel, Schema
from registry.names import (
    MAX_DESCRIPTION,
    check_length,
    check_model_tag,
    split_full_name,
)
from registry.services.namespaces import get_schema, keep
from registry.store import store

_BY_NAME = Prepared[RegisteredModel](
    lambda full_name: RegisteredModel.objects.select_related(
        "schema__catalog__owner", "schema__owner", "owner"
    ).filter(full_name=full_name),
    str,
)
_LOCKED = Prepared[RegisteredModel](
    lambda pk: RegisteredModel.objects.select_for_update().filter(pk=pk), UUID
)


def get_model(full_name: str) -> RegisteredModel:
    """Return a model by full name, with its containers. Raises NotFound."""
    found = _BY_NAME.first(full_name)
    if found is None:
        split_full_name(full_name)
        raise unseen("model", full_name)
    return found


def lock_model(model: RegisteredModel) -> RegisteredModel:
    """Hold a model's row to the end of the transaction; return it as it is now.

    Its containers are those that were read with the model, if they are still its own.
    Raises NotFound when it was deleted meanwhile.
    """
    locked = _LOCKED.first(model.pk)
    if locked is None:
        raise unseen("model", model.full_name)
    is_known = RegisteredModel._meta.get_field("schema").is_cached(model)
    if is_known and locked.schema_id == model.schema_id:
        locked.schema = model.schema
    return locked


@transaction.atomic
def create_model(
    full_name: str,
    *,
    description: str = "",
    tags: dict[str, str] | None = None,
    principal: User,
) -> RegisteredModel:
    """Create a model, owned by the principal; the tags may make it a prompt.

    Raises AlreadyExists when there is one that the principal may see: MLflow's
    client always tries to create first, and goes on after exactly this answer.
    """
    catalog, schema_name, name = split_full_name(full_name)
    check_length(description, "description", MAX_DESCRIPTION)
    for key, value in (tags or {}).items():
        check_model_tag(key, value)
    schema = get_schema(f"{catalog}.{schema_name}")
    refuse_taken(schema, name, principal=principal)
    require(principal, Privilege.CREATE_MODEL, schema)
    keep(schema)
    try:
        with transaction.atomic():
            model: RegisteredModel = RegisteredModel.objects.create(
                schema=schema,
                name=name,
                full_name=full_name,
                comment=description,
                owner=principal,
                is_prompt=prompts.is_marked(tags or {}),
            )
    except IntegrityError as error:
        raise PermissionDenied(f"You may not create {full_name}.") from error
    _number_after_former(model)
    mlflow_tags = [
        RegisteredModelTag(key, value) for key, value in (tags or {}).items()
    ]
    store().create_registered_model(full_name, mlflow_tags, description)
    emit(
        EventType.REGISTERED_MODEL_CREATED, model, principal=principal, tags=tags or {}
    )
    return model


def _number_after_former(model: RegisteredModel) -> None:
    """Go on numbering where those stopped who bore the name before.

    Read after the insert, which waits for whoever is just leaving the name.
    """
    former = FormerName.objects.filter(key=model.full_name.lower())
    last = former.aggregate(last=Max("last_number"))["last"]
    if last:
        model.numbers_after = last
        RegisteredModel.objects.filter(pk=model.pk).update(numbers_after=last)


def refuse_taken(schema: Schema, name: str, *, principal: User) -> None:
    """Say that a name is taken to those who may know it, or may register there."""
    found = RegisteredModel.objects.select_related("schema__catalog", "owner")
    existing = found.filter(schema=schema, name__iexact=name).first()
    if existing is None:
        return
    if is_visible(principal, existing) or may_register(existing, principal=principal):
        raise AlreadyExists(f"There is a model {existing.full_name} already.")


@transaction.atomic
def update_model(model: RegisteredModel, description: str, *, principal: User) -> None:
    """Change the description of a model."""
    require(principal, Privilege.OWN, model)
    check_length(description, "description", MAX_DESCRIPTION)
    before = model.comment
    model.comment = description
    RegisteredModel.objects.filter(pk=model.pk).update(comment=description)
    store().update_registered_model(model.full_name, description)
    emit(
        EventType.REGISTERED_MODEL_UPDATED,
        model,
        principal=principal,
        before=before,
        after=description,
    )


@transaction.atomic
def set_model_tag(
    model: RegisteredModel, key: str, value: str, *, principal: User
) -> None:
    """Set a tag of a model."""
    require_tagging(model, principal)
    prompts.check_model_tag(key)
    check_model_tag(key, value)
    store().set_registered_model_tag(model.full_name, RegisteredModelTag(key, value))
    emit(EventType.TAG_SET, model, principal=principal, key=key, value=value)


@transaction.atomic
def delete_model_tag(model: RegisteredModel, key: str, *, principal: User) -> None:
    """Delete a tag of a model; deleting what is not there is no error."""
    require_tagging(model, principal)
    prompts.check_model_tag(key)
    store().delete_registered_model_tag(model.full_name, key)
    emit(EventType.TAG_DELETED, model, principal=principal, key=key)


def require_tagging(model: RegisteredModel, principal: User) -> None:
    """Let the owner and holders of APPLY TAG through (rule P-16)."""
    if not may_tag(model, principal=principal):
        require(principal, Privilege.APPLY_TAG, model)


def may_tag(model: RegisteredModel, *, principal: User) -> bool:
    """Tell whether `require_tagging` would let a principal through."""
    needed = (Privilege.OWN, Privilege.APPLY_TAG)
    return any(is_allowed(principal, privilege, model) for privilege in needed)


def require_registering(model: RegisteredModel, principal: User) -> None:
    """Let through who may register versions of a model (rule P-10)."""
    if not may_register(model, principal=principal):
        require(principal, _needed_to_register(model), model)


def may_register(model: RegisteredModel, *, principal: User) -> bool:
    """Tell whether `require_registering` would let a principal through."""
    needed = {Privilege.OWN, _needed_to_register(model)}
    return any(is_allowed(principal, privilege, model) for privilege in needed)


def _needed_to_register(model: RegisteredModel) -> Privilege:
    """The owner's alone, unless the catalog lets it be granted."""
    delegated = model.schema.catalog.delegated_versions
    return Privilege.CREATE_MODEL_VERSION if delegated else Privilege.OWN
