"""Runs: asked for, read, cancelled. How they move is in runners/lifecycle.py."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import partial
from typing import IO, Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from access.authz import require
from access.models import User
from access.privileges import Privilege
from access.ways import require_able
from core.errors import Conflict, InvalidParameter, NotFound, PermissionDenied
from events.relay import ring
from events.services import emit
from events.types import EventType
from runners import blobs, datasets, lifecycle, packages
from runners import parameters as environment
from runners.models import (
    Attempt,
    LogChunk,
    Pipeline,
    Run,
    RunStatus,
    Snapshot,
)
from runners.services.packages import get_package_version
from runners.services.pipelines import check_timeout, preflight, split_dataset

LAUNCH = "runners.tasks.launch"
_CHUNKS_AT_ONCE = 50


@dataclass(frozen=True)
class LogPart:
    """A piece of an attempt's log; more may follow unless it is complete."""

    attempt: int
    offset: int
    next_offset: int
    text: str
    is_complete: bool


def start_run(
    pipeline: Pipeline,
    *,
    version: str = "",
    dataset: str = "",
    snapshot: str = "",
    parameters: dict[str, str] | None = None,
    gpu: bool = False,
    timeout_seconds: int | None = None,
    idempotency_key: str = "",
    principal: User,
) -> Run:
    """Queue a run and return at once.

    `version` of the package (else the latest upload), `dataset` as
    `catalog.schema.dataset/folder` (else the pipeline's), `snapshot` by digest
    (else the newest). The same idempotency key returns the same run.
    Raises PermissionDenied naming what the run-as principal lacks.
    """
    require_able(principal, "train_and_register", pipeline)
    if earlier := _earlier(pipeline, idempotency_key, principal):
        return earlier
    if not pipeline.is_enabled:
        raise Conflict(f"{pipeline.full_name} is disabled.")
    package_version = get_package_version(pipeline.package, version)
    packages.require_trainable(package_version.functions)
    chosen, folder = _choose_data(pipeline, dataset, snapshot, principal)
    _require_ready(pipeline, chosen)
    given = environment.check(parameters or {})
    return _queue(
        Run(
            pipeline=pipeline,
            package_version=package_version,
            snapshot=chosen,
            folder=folder,
            parameters=environment.merge(pipeline.parameters, given),
            gpu=gpu,
            timeout_seconds=check_timeout(timeout_seconds or pipeline.timeout_seconds),
            idempotency_key=idempotency_key,
            started_by=principal,
            run_as=pipeline.run_as,
        )
    )


def _earlier(pipeline: Pipeline, key: str, principal: User) -> Run | None:
    if not key:
        return None
    same = {"pipeline": pipeline, "started_by": principal, "idempotency_key": key}
    return lifecycle.rows().filter(**same).first()


def _choose_data(
    pipeline: Pipeline, text: str, digest: str, principal: User
) -> tuple[Snapshot, str]:
    if text:
        dataset, folder = split_dataset(text, principal)
    elif pipeline.dataset is not None:
        dataset, folder = pipeline.dataset, pipeline.folder
    else:
        raise InvalidParameter(f"Name a dataset: {pipeline.full_name} has no default.")
    snapshot = datasets.get_snapshot(dataset, digest)
    datasets.entries_in(snapshot, folder)
    return snapshot, folder


def _require_ready(pipeline: Pipeline, snapshot: Snapshot) -> None:
    needs = preflight(pipeline, snapshot.dataset)
    missing = [need for need in needs if not need.met]
    if missing:
        wanted = ", ".join(f"{need.what} on {need.full_name}" for need in missing)
        raise PermissionDenied(
            f"The run would act as {pipeline.run_as.username}, who lacks {wanted}.",
            reasons=[need.as_reason() for need in missing],
        )


@transaction.atomic
def _queue(run: Run) -> Run:
    # one starter at a time per pipeline: two equal keys must not race
    Pipeline.objects.select_for_update().get(pk=run.pipeline_id)
    if earlier := _earlier(run.pipeline, run.idempotency_key, run.started_by):
        return earlier
    run.save(force_insert=True)
    emit(
        EventType.PIPELINE_RUN_QUEUED,
        run,
        principal=run.started_by,
        run_id=run.id,
        pipeline=run.pipeline.full_name,
        package=run.package_version.full_name,
        snapshot=run.snapshot.digest,
    )
    transaction.on_commit(partial(ring, LAUNCH, str(run.id)))
    return run


def visible_runs(principal: User) -> QuerySet[Run]:
    """Return the runs of the pipelines that the principal may run or manage."""
    pipelines = Pipeline.objects.filter(
        Q(pk__in=Pipeline.objects.allowed(principal, Privilege.RUN_TRAINING))
        | Q(pk__in=Pipeline.objects.allowed(principal, Privilege.MANAGE))
    )
    return lifecycle.rows().filter(pipeline__in=pipelines)


def get_run(run_id: UUID, *, principal: User) -> Run:
    """Return a run that the principal may see. Raises NotFound."""
    found = visible_runs(principal).filter(pk=run_id).first()
    if found is None:
        raise NotFound(f"No run {run_id} that you may see.")
    return found


def cancel_run(run: Run, *, principal: User) -> Run:
    """Ask for the end of a run; asking twice is no error.

    A queued run is cancelled at once, a running one when its process ended.
    Raises Conflict when it is too late.
    """
    require(principal, Privilege.RUN_TRAINING, run.pipeline)
    with transaction.atomic():
        held = lifecycle.rows().select_for_update(of=("self",)).get(pk=run.pk)
        if held.status == RunStatus.CANCELLED or held.cancel_requested_at:
            return held
        if held.has_ended or held.status == RunStatus.FINALIZING:
            raise Conflict(f"The run is {held.status}; it is too late to cancel it.")
        held.cancel_requested_at, held.cancelled_by = timezone.now(), principal
        held.save(update_fields=["cancel_requested_at", "cancelled_by"])
        if held.status == RunStatus.QUEUED:
            lifecycle.end_cancelled(held)
    return held


def read_log(
    run: Run, *, offset: int = 0, attempt: int | None = None, principal: User
) -> LogPart:
    """Return the log of an attempt (the latest, unless named) from a byte on."""
    require(principal, Privilege.RUN_TRAINING, run.pipeline)
    number = run.attempt_number if attempt is None else attempt
    found = Attempt.objects.filter(run=run, number=number).first()
    if found is None:
        return LogPart(number, 0, 0, "", run.has_ended)
    data, position = b"", offset
    chunks = LogChunk.objects.filter(
        attempt=found, offset__gt=offset - LogChunk.MAX_BYTES
    )
    for chunk in chunks[:_CHUNKS_AT_ONCE]:
        data += bytes(chunk.data)[max(0, position - chunk.offset) :]
        position = max(position, chunk.offset + len(chunk.data))
    is_complete = position >= found.log_offset and run.has_ended
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=is_complete)
    position -= len(decoder.getstate()[0])  # half a character waits for its rest
    return LogPart(number, offset, position, text, is_complete)


def open_output(run: Run, path: str, *, principal: User) -> IO[bytes]:
    """Open a file of the run's artifacts for reading. Raises NotFound."""
    require(principal, Privilege.RUN_TRAINING, run.pipeline)
    found = run.outputs.filter(path=path).first()
    if found is None:
        raise NotFound(f"The run has no artifact {path!r}.")
    return blobs.blob_path(found.sha256).open("rb")


def read_results(run: Run, *, principal: User) -> dict[str, Any]:
    """Return the content of `_results.json`. Raises Conflict before the end."""
    require(principal, Privilege.RUN_TRAINING, run.pipeline)
    if run.results is None:
        raise Conflict(f"The run is {run.status}; it has no results yet.")
    results: dict[str, Any] = run.results
    return results
