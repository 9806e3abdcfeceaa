"""MLflow's experiments as securables: private to their owner, or in a schema.

A name of three levels, `catalog.schema.name`, puts an experiment into that schema,
whose grants it inherits; any other name makes it private to whom it is granted.
"""

from __future__ import annotations

import unicodedata

from django.db import transaction
from mlflow.entities import ExperimentTag
from mlflow.exceptions import MlflowException

from access.authz import require
from access.models import User
from access.privileges import Privilege
from core.errors import AlreadyExists, InvalidParameter, NotFound, PermissionDenied
from events.services import emit
from events.types import EventType
from registry.experiments import get_experiment_by_name, is_visible, taken
from registry.models import Experiment, Schema
from registry.names import split_full_name
from registry.services.namespaces import get_schema, keep
from registry.store import tracking_store

_LONGEST_NAME = 255
# control, format (such as a change of direction) and half characters
_UNSEEN = {"Cc", "Cf", "Cs"}


@transaction.atomic
def create_experiment(
    name: str, *, tags: dict[str, str] | None = None, principal: User
) -> Experiment:
    """Create an experiment, owned by the principal.

    Raises AlreadyExists for a name that the principal sees, and PermissionDenied
    for one that somebody else has: names are MLflow's, one for the whole server.
    """
    schema = _schema_for(name, principal)
    _require_free(name, principal)
    mlflow_tags = [ExperimentTag(key, value) for key, value in (tags or {}).items()]
    experiment: Experiment = Experiment.objects.create(
        experiment_id=_create_in_mlflow(name, mlflow_tags),
        name=name,
        schema=schema,
        owner=principal,
    )
    emit(EventType.EXPERIMENT_CREATED, experiment, principal=principal)
    return experiment


@transaction.atomic
def rename_experiment(
    experiment: Experiment, name: str, *, principal: User
) -> Experiment:
    """Rename an experiment; a name in another schema, or in none, moves it there.

    A move changes who may read it, so only its owner may do that.
    """
    require(principal, Privilege.MANAGE, experiment)
    before = experiment.name
    if name == before:
        return experiment
    schema = _schema_for(name, principal)
    if schema != experiment.schema:
        require(principal, Privilege.OWN, experiment)
    _require_free(name, principal)
    tracking_store().rename_experiment(experiment.experiment_id, name)
    experiment.name, experiment.schema = name, schema
    Experiment.objects.filter(pk=experiment.pk).update(name=name, schema=schema)
    emit(
        EventType.EXPERIMENT_RENAMED,
        experiment,
        principal=principal,
        before=before,
        after=name,
    )
    return experiment


@transaction.atomic
def delete_experiment(experiment: Experiment, *, principal: User) -> None:
    """Mark an experiment and its runs as deleted; it can be restored."""
    require(principal, Privilege.MANAGE, experiment)
    tracking_store().delete_experiment(experiment.experiment_id)
    emit(EventType.EXPERIMENT_DELETED, experiment, principal=principal)


@transaction.atomic
def restore_experiment(experiment: Experiment, *, principal: User) -> None:
    """Bring a deleted experiment and its runs back."""
    require(principal, Privilege.MANAGE, experiment)
    tracking_store().restore_experiment(experiment.experiment_id)
    emit(EventType.EXPERIMENT_RESTORED, experiment, principal=principal)


def _check_name(name: str) -> None:
    """Refuse a name that a page would show as empty, as another, or not at all."""
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise InvalidParameter(f"name must have 1 to {_LONGEST_NAME} characters.")
    if any(unicodedata.category(character) in _UNSEEN for character in name):
        raise InvalidParameter(
            f"name {name!r} holds characters that are not seen; leave them out."
        )


def _schema_for(name: str, principal: User) -> Schema | None:
    """Return the schema that a name lies in, after a check; None for a private name."""
    _check_name(name)
    if name.count(".") != 2:
        return None
    try:
        catalog, schema_name, _ = split_full_name(name)
    except InvalidParameter:
        return None
    try:
        schema = get_schema(f"{catalog}.{schema_name}")
        require(principal, Privilege.CREATE_EXPERIMENT, schema)
        keep(schema)
    except NotFound as error:
        raise NotFound(
            f"The name {name} has three levels and so lies in the schema "
            f"{catalog}.{schema_name}, which you may not see or which does not exist; "
            "choose a name without two dots for a private experiment."
        ) from error
    return schema


def _require_free(name: str, principal: User) -> None:
    existing = get_experiment_by_name(name)
    if existing and is_visible(existing, principal):
        raise AlreadyExists(f"There is an experiment {name!r} already.")
    # MLflow may know one that nobody adopted, such as its own "Default"
    if existing or tracking_store().get_experiment_by_name(name):
        raise PermissionDenied(taken(name))


def _create_in_mlflow(name: str, tags: list[ExperimentTag]) -> str:
    try:
        created: str = tracking_store().create_experiment(name, tags=tags)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        raise AlreadyExists(f"There is an experiment {name!r} already.") from error
    return created
