"""Carry out a plan: each model and version in its own transaction.

Whatever kills the process, what is committed is whole, and the next run goes on
from there: it finds models by their adoption, versions by their number.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, transaction
from mlflow.exceptions import MlflowException

from access.models import User
from core.errors import DomainError
from registry import services as registry
from registry.adoption import rows
from registry.adoption.files import Unreachable, fetch
from registry.adoption.plan import (
    Action,
    Plan,
    PlannedAlias,
    PlannedModel,
    PlannedVersion,
    staging_of,
)
from registry.adoption.report import Kind, Report, Result
from registry.models import (
    IN_PLACE,
    Adoption,
    Alias,
    ModelVersion,
    RegisteredModel,
    VersionStatus,
)

# (model, alias, version) -> the alias, or None where a policy protects it
SetAlias = Callable[[RegisteredModel, str, ModelVersion], Alias | None]
_REASONS = {
    Result.LEFT_OUT: "the mapping or --unreadable leaves it or version {number} out",
    Result.FAILED: "version {number} is not ready",
    Result.NEEDS_APPROVAL: "ask for version {number} as an owner of the model",
}
_REFUSALS = (DomainError, DatabaseError, MlflowException, OSError, Unreachable)


@dataclass(frozen=True)
class Watch:
    """Who wants to know how far it is: bytes as they come, names as they begin."""

    got: Callable[[int], None] = lambda _size: None
    began: Callable[[str], None] = lambda _name: None


@dataclass
class Run:
    """One run of an adoption: its plan, its helpers, its report."""

    plan: Plan
    owner: User
    principal: User
    set_alias: SetAlias
    watch: Watch = field(default_factory=Watch)
    report: Report = field(default_factory=Report)

    @property
    def address(self) -> str:
        return self.plan.origin.address


def carry_out(run: Run) -> Report:
    """Do what the plan says and return the report; no failure stops the rest.

    The plan must be free of problems.
    """
    started = time.monotonic()
    _clear_staging()
    for schema in run.plan.schemas:
        rows.ensure_schema(schema, principal=run.principal)
    for model in run.plan.models:
        _take_model(run, model)
    for experiment_id, name in run.plan.experiments.items():
        with _reported(run, Kind.EXPERIMENT, name):
            rows.adopt_experiment(
                experiment_id, name, run.owner, principal=run.principal
            )
            run.report.add(Kind.EXPERIMENT, name, Result.TAKEN)
    run.report.seconds = time.monotonic() - started
    return run.report


def _take_model(run: Run, planned: PlannedModel) -> None:
    name = planned.target
    if planned.action == Action.SKIP:
        left_out = planned.origin.name, Result.LEFT_OUT, planned.note
        run.report.add(Kind.MODEL, *left_out)
        return
    with _reported(run, Kind.MODEL, name):
        adoption = _adoption_of(run, planned)
        for version in planned.versions:
            number = f"{name}/{version.origin.number}"
            with _reported(run, Kind.VERSION, number):
                _take_version(run, adoption, version)
        for alias in planned.aliases:
            with _reported(run, Kind.ALIAS, f"{name}@{alias.name or alias.old_name}"):
                _take_alias(run, adoption.model, alias)


def _adoption_of(run: Run, planned: PlannedModel) -> Adoption:
    if planned.action == Action.TAKE:
        adoption = rows.adopt_model(planned, run.address, principal=run.principal)
        run.report.add(Kind.MODEL, planned.target, Result.TAKEN)
        return adoption
    found = Adoption.objects.select_related("model__owner")
    run.report.add(Kind.MODEL, planned.target, Result.HERE)
    return found.get(origin=run.address, origin_name=planned.origin.name)


def _take_version(run: Run, adoption: Adoption, planned: PlannedVersion) -> None:
    name = f"{adoption.model.full_name}/{planned.origin.number}"
    if planned.action == Action.HERE:
        run.report.add(Kind.VERSION, name, Result.HERE)
        return
    if planned.action in {Action.SKIP, Action.ERROR}:
        result = Result.LEFT_OUT if planned.action == Action.SKIP else Result.FAILED
        run.report.add(Kind.VERSION, name, result, planned.problem)
        return
    run.watch.began(name)
    if adoption.model.is_prompt:
        _note(run, _prompt_row(run, adoption, planned))
        return
    if planned.problem:
        _note(run, _row_without_files(run, adoption, planned))
        return
    if planned.action == Action.FINISH:
        versions = ModelVersion.objects.select_related("model")
        row = versions.get(model=adoption.model, number=planned.origin.number)
    else:
        directory = _files_of(run, planned)
        row = rows.adopt_version(
            adoption, planned.origin, directory, principal=run.principal
        )
    _note(run, _finish(run, row))


@transaction.atomic
def _row_without_files(
    run: Run, adoption: Adoption, planned: PlannedVersion
) -> ModelVersion:
    """Keep the number and what is known of a version that cannot be read."""
    row = rows.adopt_version(adoption, planned.origin, None, principal=run.principal)
    return registry.fail_version(row, f"Adopted without files: {planned.problem}.")


@transaction.atomic
def _prompt_row(run: Run, adoption: Adoption, planned: PlannedVersion) -> ModelVersion:
    """Take over a version of a prompt, which has no files."""
    row = rows.adopt_version(adoption, planned.origin, None, principal=run.principal)
    return registry.finish_prompt_version(row, planned.origin.tags)


def _files_of(run: Run, planned: PlannedVersion) -> Path:
    """Return a local directory with the files, downloaded when they are remote.

    The row of a version is written after its files are here: a PENDING one needs
    nothing but this machine to be finished, by the next run or by the sweep.
    """
    assert planned.place  # noqa: S101  # no place is a problem, and was noted
    if planned.place.directory:
        return planned.place.directory
    target = staging_of(run.plan.origin, planned.origin)
    shutil.rmtree(target, ignore_errors=True)
    fetch(planned.place, planned.files, target, got=run.watch.got)
    return target


def _finish(run: Run, row: ModelVersion) -> ModelVersion:
    """Take the bytes; those that were downloaded before are counted already."""
    if _staging() not in Path(row.source_directory).parents:
        return registry.take_bytes(row, watch=_counting(run))
    row = registry.take_bytes(row)
    shutil.rmtree(row.source_directory, ignore_errors=True)
    return row


def _counting(run: Run) -> Callable[[int, int], None]:
    """Return a function that is told sums, and tells the watch what came since."""
    seen = 0

    def count(done: int, _total: int) -> None:
        nonlocal seen
        run.watch.got(done - seen)
        seen = done

    return count


def _note(run: Run, row: ModelVersion) -> None:
    result = Result.TAKEN if row.status == VersionStatus.READY else Result.FAILED
    run.report.add(Kind.VERSION, row.full_name, result, row.status_message)
    run.report.bytes += row.size_bytes


def _take_alias(run: Run, model: RegisteredModel, planned: PlannedAlias) -> None:
    name = f"{model.full_name}@{planned.name or planned.old_name}"
    if planned.action == Action.HERE:
        run.report.add(Kind.ALIAS, name, Result.HERE)
        return
    with transaction.atomic():
        if run.address == IN_PLACE:
            rows.forget_alias(model, planned.old_name, principal=run.principal)
        result = _set_alias(run, model, planned)
    reason = _REASONS.get(result, "").format(number=planned.number)
    run.report.add(Kind.ALIAS, name, result, reason)


def _set_alias(run: Run, model: RegisteredModel, planned: PlannedAlias) -> Result:
    versions = ModelVersion.objects.filter(model=model, number=planned.number)
    version = versions.select_related("model").first()
    if planned.action == Action.SKIP or version is None:
        return Result.LEFT_OUT
    if version.status != VersionStatus.READY:
        return Result.FAILED
    moved = run.set_alias(model, planned.name, version)
    return Result.TAKEN if moved else Result.NEEDS_APPROVAL


@contextmanager
def _reported(run: Run, kind: Kind, name: str) -> Iterator[None]:
    """Let a failure be a line of the report, and go on with the next."""
    try:
        yield
    except _REFUSALS as error:
        reason = getattr(error, "message", "") or str(error)
        run.report.add(kind, name, Result.FAILED, reason.strip().split("\n")[0])


def _staging() -> Path:
    path: Path = settings.HOME / "adoption"
    return path


def _clear_staging() -> None:
    """Remove what a run that was killed has downloaded and no row waits for."""
    pending = ModelVersion.objects.filter(status=VersionStatus.PENDING)
    wanted = set(pending.values_list("source_directory", flat=True))
    for path in _staging().glob("*"):
        if str(path) not in wanted:
            shutil.rmtree(path, ignore_errors=True)
