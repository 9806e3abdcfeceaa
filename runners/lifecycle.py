"""How runs move: every arrow of the state machine, with its event and its fence.

A change holds only while the row still is at the attempt that the caller saw,
so what a forgotten attempt does late has no effect.
"""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from core.errors import Conflict
from core.states import transition
from events.relay import ring
from events.services import emit
from events.types import EventType
from registry.models import ModelVersion
from runners import results
from runners.blobs import Entry
from runners.models import (
    Attempt,
    AttemptStatus,
    FailureClass,
    Package,
    PackageVersion,
    Registration,
    Run,
    RunOutput,
    RunStatus,
)
from runners.packages import Intake

LAUNCH, FINALIZE = "runners.tasks.launch", "runners.tasks.finalize"
LEASE = dt.timedelta(seconds=60)
MODEL_OUTPUT = "model"
_MAX_SUMMARY = 4000


def rows() -> QuerySet[Run]:
    """Return the runs with all that telling about them needs, in one query."""
    return Run.objects.select_related(
        "pipeline__schema__catalog",
        "package_version__package",
        "snapshot__dataset",
        "started_by",
        "run_as",
    )


def move(run: Run, to: RunStatus, **changes: Any) -> None:
    """Move a run, if nobody began another attempt meanwhile. Raises Conflict."""
    with transaction.atomic():
        fence(run)
        transition(run, to, **changes)


def fence(run: Run) -> Run:
    """Lock the row of a run and return it fresh. Raises Conflict if outdated."""
    held = Run.objects.select_for_update().get(pk=run.pk)
    if held.attempt_number != run.attempt_number:
        raise Conflict(f"Attempt {run.attempt_number} of run {run.pk} is over.")
    return held


@transaction.atomic
def begin_attempt(run: Run, host: str) -> Attempt:
    """Claim a queued run for a new attempt. Raises Conflict if another did."""
    number = run.attempt_number + 1
    changes = {"lease_until": timezone.now() + LEASE, "wait_reason": ""}
    move(run, RunStatus.PREPARING, attempt_number=number, **changes)
    return Attempt.objects.create(run=run, number=number, host=host)


@transaction.atomic
def begin_training(run: Run, attempt: Attempt) -> None:
    """Record that the training process is about to start."""
    now = timezone.now()
    transition(attempt, AttemptStatus.RUNNING, started_at=now)
    move(run, RunStatus.RUNNING, started_at=run.started_at or now)
    emit(
        EventType.PIPELINE_RUN_STARTED,
        run,
        principal=run.run_as,
        run_id=run.id,
        attempt=attempt.number,
        started_by=run.started_by_id,
    )


@transaction.atomic
def end_training(run: Run, attempt: Attempt, ending: dict[str, Any]) -> None:
    """Record how the training process ended; the finalizer judges it."""
    transition(
        attempt,
        AttemptStatus.EXITED,
        rc=ending["rc"],
        why=ending["why"],
        usage=ending["usage"],
        pid=ending["pid"],
        ended_at=timezone.now(),
    )
    move(run, RunStatus.FINALIZING, rung_at=timezone.now())
    transaction.on_commit(partial(ring, FINALIZE, str(run.id)))


@transaction.atomic
def lose_attempt(run: Run, attempt: Attempt) -> None:
    """Give up an attempt whose process is gone: try again, or fail for good."""
    transition(attempt, AttemptStatus.LOST, ended_at=timezone.now())
    if fence(run).cancel_requested_at:
        return end_cancelled(run)
    if run.infra_left == 0:
        summary = f"{attempt.number} attempts lost their process or their host."
        return end_failed(run, FailureClass.INFRA_LOST, summary)
    left = run.infra_left - 1
    move(run, RunStatus.QUEUED, infra_left=left, rung_at=timezone.now())
    emit(
        EventType.PIPELINE_RUN_RETRIED,
        run,
        principal=None,
        run_id=run.id,
        attempt=attempt.number,
        attempts_left=left,
    )
    transaction.on_commit(partial(ring, LAUNCH, str(run.id)))
    return None


@transaction.atomic
def end_failed(
    run: Run, failure: FailureClass, summary: str, outputs: list[Entry] | None = None
) -> None:
    """End a run without a version, saying whose fault it was and why."""
    summary = summary.replace("\0", "")[-_MAX_SUMMARY:]  # PostgreSQL takes no NUL
    _end(
        run,
        RunStatus.FAILED,
        outputs or [],
        failure_class=failure,
        failure_summary=summary,
    )
    emit(
        EventType.PIPELINE_RUN_FAILED,
        run,
        principal=run.run_as,
        run_id=run.id,
        failure_class=failure,
        summary=summary,
        started_by=run.started_by_id,
    )


@transaction.atomic
def end_cancelled(run: Run, outputs: list[Entry] | None = None) -> None:
    """End a run that somebody cancelled."""
    _end(run, RunStatus.CANCELLED, outputs or [])
    cancelled_by = (
        Run.objects.select_related("cancelled_by").get(pk=run.pk).cancelled_by
    )
    emit(EventType.PIPELINE_RUN_CANCELLED, run, principal=cancelled_by, run_id=run.id)


@transaction.atomic
def end_succeeded(
    run: Run, version: ModelVersion, intake: Intake, outputs: list[Entry]
) -> None:
    """End a run with its one version, its package version and its files, at once."""
    fence(run)
    Registration.objects.create(run=run, output_name=MODEL_OUTPUT, version=version)
    trained = _add_trained_version(run, intake)
    _end(run, RunStatus.SUCCEEDED, outputs, trained)
    emit(
        EventType.PACKAGE_TRAINED,
        trained,
        principal=run.run_as,
        run_id=run.id,
        version=trained.number,
        digest=trained.digest,
    )
    emit(
        EventType.PIPELINE_RUN_SUCCEEDED,
        run,
        principal=run.run_as,
        run_id=run.id,
        model=version.model.full_name,
        version=version.number,
        request_alias=run.pipeline.request_alias or None,
        requested_by=run.run_as_id,
        started_by=run.started_by_id,
    )


def _end(
    run: Run,
    to: RunStatus,
    outputs: list[Entry],
    trained: PackageVersion | None = None,
    **changes: Any,
) -> None:
    now = timezone.now()
    content = results.build(
        run, ended_at=now, has_artifacts=bool(outputs), trained=trained
    )
    move(run, to, ended_at=now, results=content, lease_until=None, **changes)
    RunOutput.objects.bulk_create(RunOutput(run=run, **entry) for entry in outputs)


def _add_trained_version(run: Run, intake: Intake) -> PackageVersion:
    """Allocate the next minor of the major that was trained: 1.9 → 1.10."""
    parent = run.package_version
    package = Package.objects.select_for_update().get(pk=parent.package_id)
    same_major = package.versions.filter(major=parent.major)
    return PackageVersion.objects.create(
        package=package,
        major=parent.major,
        minor=same_major.aggregate(highest=Max("minor"))["highest"] + 1,
        digest=intake.digest,
        size_bytes=intake.size_bytes,
        functions=intake.functions,
        lock=parent.lock,
        parent_version=parent,
        run=run,
        created_by=run.run_as,
    )
