"""What is said of a version: its description and its tags."""

from __future__ import annotations

from django.db import transaction
from mlflow.entities.model_registry import ModelVersionTag

from access.authz import require
from access.models import User
from access.privileges import Privilege
from events.services import emit
from events.types import EventType
from registry import prompts
from registry.models import ModelVersion
from registry.names import MAX_DESCRIPTION, check_length
from registry.services.models import require_tagging
from registry.store import store


@transaction.atomic
def update_version(version: ModelVersion, description: str, *, principal: User) -> None:
    """Change the description of a version."""
    require(principal, Privilege.OWN, version.model)
    check_length(description, "description", MAX_DESCRIPTION)
    store().update_model_version(version.model.full_name, version.number, description)
    emit(
        EventType.MODEL_VERSION_UPDATED, version, principal=principal, after=description
    )


@transaction.atomic
def set_version_tag(
    version: ModelVersion, key: str, value: str, *, principal: User
) -> None:
    """Set a tag of a version."""
    require_tagging(version.model, principal)
    prompts.check_version_tag(version.model, key)
    store().set_model_version_tag(
        version.model.full_name, version.number, ModelVersionTag(key, value)
    )
    emit(EventType.TAG_SET, version, principal=principal, key=key, value=value)


@transaction.atomic
def delete_version_tag(version: ModelVersion, key: str, *, principal: User) -> None:
    """Delete a tag of a version; deleting what is not there is no error."""
    require_tagging(version.model, principal)
    prompts.check_version_tag(version.model, key)
    store().delete_model_version_tag(version.model.full_name, version.number, key)
    emit(EventType.TAG_DELETED, version, principal=principal, key=key)
