"""The rows of a model that is taken over: MLflow's and ours, in one transaction."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.utils import timezone
from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlModelVersionTag,
    SqlRegisteredModel,
    SqlRegisteredModelAlias,
    SqlRegisteredModelTag,
)
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun

from access.models import PrincipalKind, User
from access.services import require_admin
from core.errors import NotFound
from events.services import emit
from events.types import EventType
from registry import prompts
from registry import services as registry
from registry.adoption.origins import OriginModel, OriginVersion
from registry.adoption.plan import PlannedModel
from registry.models import (
    IN_PLACE,
    Adoption,
    Experiment,
    ModelVersion,
    RegisteredModel,
)
from registry.names import split_full_name
from registry.services.namespaces import get_schema
from registry.store import store, tracking_store

STAGE_TAG = "adopted_stage"
_LEASE = dt.timedelta(seconds=60)
_DEFAULT = "0"
_LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})")


def ensure_schema(full_name: str, *, principal: User) -> None:
    """Create a schema, and its catalog, where they are missing."""
    require_admin(principal)
    catalog = full_name.partition(".")[0]
    try:
        registry.get_catalog(catalog)
    except NotFound:
        registry.create_catalog(catalog, principal=principal)
    try:
        registry.get_schema(full_name)
    except NotFound:
        registry.create_schema(full_name, principal=principal)


@transaction.atomic
def adopt_model(planned: PlannedModel, origin: str, *, principal: User) -> Adoption:
    """Take over a model without its versions; in place it gets its new name."""
    require_admin(principal)
    model = _governance_row(planned)
    if origin == IN_PLACE:
        _rename(planned.origin, planned.target)
    else:
        _insert_model(planned.origin, planned.target)
    adoption = Adoption.objects.create(
        model=model,
        origin=origin,
        origin_name=planned.origin.name,
        adopted_by=principal,
    )
    emit(
        EventType.REGISTERED_MODEL_ADOPTED,
        model,
        principal=principal,
        adopted_from=origin,
        name=planned.origin.name,
        owner=planned.owner.username,
        tags=planned.origin.tags,
    )
    return adoption


@transaction.atomic
def adopt_version(
    adoption: Adoption,
    version: OriginVersion,
    directory: Path | None,
    *,
    principal: User,
) -> ModelVersion:
    """Take over a version as PENDING, with its number; its bytes come next."""
    require_admin(principal)
    tags = version.tags | ({STAGE_TAG: version.stage} if version.stage else {})
    model = adoption.model
    prompts.check_new_version(model, version.source, tags)
    row = ModelVersion.objects.create(
        model=model,
        number=version.number,
        source=_source(version, model),
        source_directory=str(directory or ""),
        mlflow_run_id=version.run_id,
        logged_model_id=_logged_model(version, adoption.origin),
        lineage=_lineage(version, adoption.origin),
        created_by=_maker(version, model.owner),
        created_at=_moment(version.created_at),
        lease_until=timezone.now() + _LEASE,
    )
    if adoption.origin == IN_PLACE:
        _claim_version(row, version)
    else:
        _insert_version(row, version, tags)
    emit(
        EventType.MODEL_VERSION_ADOPTED,
        row,
        principal=principal,
        version=row.number,
        adopted_from=adoption.origin,
        source=version.source,
        tags=tags,
    )
    return row


@transaction.atomic
def forget_alias(model: RegisteredModel, name: str, *, principal: User) -> None:
    """Remove MLflow's own row of an alias, before it is set under our rules.

    The lineage of the version remembers it.
    """
    require_admin(principal)
    with _session() as session:
        rows = session.query(SqlRegisteredModelAlias)
        rows.filter_by(name=model.full_name, alias=name).delete()


@transaction.atomic
def adopt_experiment(
    experiment_id: str, name: str, owner: User, *, principal: User
) -> Experiment:
    """Give an experiment of MLflow's that nobody owns an owner, who alone sees it."""
    require_admin(principal)
    experiment: Experiment = Experiment.objects.create(
        experiment_id=experiment_id, name=name, owner=owner
    )
    emit(
        EventType.EXPERIMENT_ADOPTED,
        experiment,
        principal=principal,
        adopted_from=IN_PLACE,
        experiment_id=experiment_id,
        owner=owner.username,
    )
    return experiment


def unowned_experiments() -> dict[str, str]:
    """Return the names of MLflow's experiments without a governance row, by id.

    The one that MLflow makes by itself counts once something was logged to it.
    """
    owned = set(Experiment.objects.values_list("experiment_id", flat=True))
    with tracking_store().ManagedSessionMaker() as session:
        rows = session.query(SqlExperiment.experiment_id, SqlExperiment.name)
        named = {str(one): name for one, name in rows.order_by(SqlExperiment.name)}
        used = session.query(SqlRun.run_uuid).filter_by(experiment_id=0).first()
    return {
        one: name
        for one, name in named.items()
        if one not in owned and (one != _DEFAULT or used)
    }


def _governance_row(planned: PlannedModel) -> RegisteredModel:
    catalog, schema, name = split_full_name(planned.target)
    row: RegisteredModel = RegisteredModel.objects.create(
        schema=get_schema(f"{catalog}.{schema}"),
        name=name,
        full_name=planned.target,
        comment=planned.origin.description,
        is_prompt=planned.origin.is_prompt,
        numbers_after=planned.origin.highest,
        owner=planned.owner,
        created_at=_moment(planned.origin.created_at),
    )
    return row


def _rename(origin: OriginModel, target: str) -> None:
    if origin.name != target:
        store().rename_model(origin.name, target)
    with _session() as session:
        rows = session.query(SqlRegisteredModel).filter_by(name=target)
        rows.update({"last_updated_time": origin.updated_at})


def _insert_model(origin: OriginModel, target: str) -> None:
    with _session() as session:
        session.add(
            SqlRegisteredModel(
                name=target,
                creation_time=origin.created_at,
                last_updated_time=origin.updated_at,
                description=origin.description,
                registered_model_tags=[
                    SqlRegisteredModelTag(key=key, value=value)
                    for key, value in origin.tags.items()
                ],
            )
        )


def _insert_version(
    row: ModelVersion, version: OriginVersion, tags: dict[str, str]
) -> None:
    with _session() as session:
        session.add(
            SqlModelVersion(
                name=row.model.full_name,
                version=row.number,
                creation_time=version.created_at,
                description=version.description,
                run_id=version.run_id or None,
                run_link=_link(version.run_link),
                model_version_tags=[
                    SqlModelVersionTag(key=key, value=value)
                    for key, value in tags.items()
                ],
                **_columns(row, version),
            )
        )


def _claim_version(row: ModelVersion, version: OriginVersion) -> None:
    """Take MLflow's own row of a version under our rules."""
    with _session() as session:
        key = {"name": row.model.full_name, "version": row.number}
        rows = session.query(SqlModelVersion).filter_by(**key)
        link = _link(version.run_link)
        changes = {"current_stage": "None", "run_link": link}
        rows.update({**changes, **_columns(row, version)})
        if version.stage:
            session.merge(
                SqlModelVersionTag(
                    workspace="default", key=STAGE_TAG, value=version.stage, **key
                )
            )


def _columns(row: ModelVersion, version: OriginVersion) -> dict[str, Any]:
    root = f"mlflow-artifacts:/greenlight/{row.model.full_name}"
    return {
        "source": row.source[:500],
        "storage_location": f"{root}/{row.number}",
        "status": "PENDING_REGISTRATION",
        "user_id": row.created_by.username,
        "last_updated_time": version.updated_at,
    }


def _source(version: OriginVersion, model: RegisteredModel) -> str:
    """Return what clients see as the source: nothing that they could follow."""
    if model.is_prompt:
        return version.source
    return f"adopted:{version.name}/{version.number}"


def _link(url: str) -> str | None:
    """Return a link to a page, or nothing: a browser would run another kind."""
    return url if urlsplit(url).scheme in {"http", "https"} else None


def _lineage(version: OriginVersion, origin: str) -> dict[str, Any]:
    facts = {
        "adopted_from": origin,
        "adopted_name": f"{version.name}/{version.number}",
        "adopted_source": version.source,
        "adopted_location": version.location,
        "adopted_run_id": version.run_id,
        "adopted_user": version.user,
        "adopted_stage": version.stage,
        "adopted_aliases": list(version.aliases),
    }
    return {name: value for name, value in facts.items() if value}


def _logged_model(version: OriginVersion, origin: str) -> str:
    """Return the logged model that a version came from, when it is one of ours."""
    found = _LOGGED_MODEL.fullmatch(version.source)
    return found[1] if found and origin == IN_PLACE else ""


def _maker(version: OriginVersion, owner: User) -> User:
    """Return who counts as its author: the same name here, else the owner."""
    persons = User.objects.filter(kind=PrincipalKind.USER)
    return persons.filter(username=version.user).first() or owner


def _moment(milliseconds: int) -> dt.datetime:
    if not milliseconds:
        return timezone.now()
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


def _session() -> Any:
    return store().ManagedSessionMaker(read_only=False)
