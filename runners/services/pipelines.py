"""Pipelines: created once, run by whoever was granted RUN TRAINING."""

from __future__ import annotations

from dataclasses import replace

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from access.authz import is_allowed, require
from access.explanations import Needed, explain
from access.models import User
from access.privileges import Privilege
from core.errors import AlreadyExists, InvalidParameter, unseen
from events.services import emit
from events.types import EventType
from registry import services as registry
from registry.models import RegisteredModel
from registry.names import split_full_name
from runners import blobs, datasets
from runners import parameters as environment
from runners.models import Dataset, Package, Pipeline

MAX_TIMEOUT_SECONDS = 30 * 24 * 3600


def visible_pipelines(principal: User) -> QuerySet[Pipeline]:
    """Return the pipelines that the principal sees, if only by BROWSE."""
    rows: QuerySet[Pipeline] = Pipeline.objects.visible(principal)
    return rows.select_related(
        "schema__catalog", "owner", "run_as", "package", "dataset"
    )


def get_pipeline(full_name: str, *, principal: User) -> Pipeline:
    """Return a pipeline that the principal sees. Raises NotFound."""
    found = visible_pipelines(principal).filter(full_name=full_name).first()
    if found is None:
        split_full_name(full_name, "pipeline")
        raise unseen("pipeline", full_name)
    return found


@transaction.atomic
def create_pipeline(
    full_name: str,
    package: Package,
    target_model: str,
    *,
    request_alias: str = "",
    dataset: str = "",
    parameters: dict[str, str] | None = None,
    timeout_seconds: int = 24 * 3600,
    comment: str = "",
    principal: User,
) -> Pipeline:
    """Create a pipeline whose runs act as the principal, who owns it.

    `dataset` is what runs train on by default, `catalog.schema.name`
    or `catalog.schema.name/folder`.
    """
    catalog, schema_name, name = split_full_name(full_name, "pipeline")
    schema = registry.get_schema(f"{catalog}.{schema_name}")
    require(principal, Privilege.CREATE_PIPELINE, schema)
    registry.keep(schema)
    _require_power_over(target_model, principal)
    chosen, folder = split_dataset(dataset, principal) if dataset else (None, "")
    try:
        with transaction.atomic():
            pipeline = Pipeline.objects.create(
                schema=schema,
                name=name,
                full_name=full_name,
                comment=comment,
                owner=principal,
                run_as=principal,
                package=package,
                target_model=target_model,
                request_alias=request_alias,
                dataset=chosen,
                folder=folder,
                parameters=environment.check(parameters or {}),
                timeout_seconds=check_timeout(timeout_seconds),
            )
    except IntegrityError as error:
        raise AlreadyExists(f"There is a pipeline {full_name} already.") from error
    emit(
        EventType.PIPELINE_CREATED,
        pipeline,
        principal=principal,
        package=package.full_name,
        model=target_model,
    )
    return pipeline


def follow_rename(model: RegisteredModel, old_name: str) -> None:
    """Let the pipelines that train a model stay with it when it is renamed."""
    pipelines = Pipeline.objects.filter(target_model=old_name)
    pipelines.update(target_model=model.full_name)


def _require_power_over(target_model: str, principal: User) -> None:
    """Let through who may connect a pipeline to the model: its owner or manager."""
    split_full_name(target_model, "target_model")
    model = RegisteredModel.objects.filter(full_name=target_model).first()
    if model is None:
        schema = registry.get_schema(target_model.rpartition(".")[0])
        require(principal, Privilege.CREATE_MODEL, schema)
    elif not is_allowed(principal, Privilege.MANAGE, model):
        require(principal, Privilege.OWN, model)


def split_dataset(text: str, principal: User) -> tuple[Dataset, str]:
    """Read `catalog.schema.dataset/folder`; the principal must be able to read it."""
    full_name, _, folder = text.partition("/")
    dataset = datasets.get_dataset(full_name)
    require(principal, Privilege.READ_DATASET, dataset)
    folder = folder.rstrip("/")
    return dataset, blobs.safe_path(folder, "The folder") if folder else ""


def check_timeout(seconds: int) -> int:
    """Return the seconds. Raises InvalidParameter when out of range."""
    if not 1 <= seconds <= MAX_TIMEOUT_SECONDS:
        raise InvalidParameter(
            f"timeout_seconds must lie between 1 and {MAX_TIMEOUT_SECONDS}."
        )
    return seconds


def preflight(pipeline: Pipeline, dataset: Dataset | None = None) -> list[Needed]:
    """List what the run-as principal needs for a run to end well, met or not (P-29).

    To read the dataset, by default the pipeline's, and to register a version of the
    model, or to create it. By what a need is met is left out: it is told to who may
    see that principal's grants.
    """
    actor, read = pipeline.run_as, dataset or pipeline.dataset
    told = [explain(actor, "read_data", read)] if read else []
    model = RegisteredModel.objects.filter(full_name=pipeline.target_model).first()
    if model is not None:
        told.append(explain(actor, "create_version", model))
    else:
        schema = registry.get_schema(pipeline.target_model.rpartition(".")[0])
        told.append(explain(actor, "create_model", schema))
    needs = (replace(need, sources=()) for one in told for need in one.requirements)
    return list(dict.fromkeys(needs))
