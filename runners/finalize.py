"""End a run: keep what it left, register its model exactly once.

Everything here may be repeated: a finalizer that dies lets go of its lock and
the next one goes on. What the training code wrote is judged only here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db.models import F

from core.errors import AlreadyExists, DomainError, InvalidParameter
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel, VersionStatus
from runners import blobs, environments, lifecycle, packages
from runners.attempts import (
    FINALIZER_LOCK,
    AttemptDirectory,
    directory_of,
    remove_tree,
    run_directory,
)
from runners.keeper import copy_log
from runners.launch import this_host
from runners.models import Attempt, FailureClass, Run, RunStatus
from runners.packages import DATA
from runners.parameters import ARTIFACTS

MAX_TRIES = 10
MLMODEL = "MLmodel"
_TRACEBACK = b"Traceback (most recent call last):"
_LOG_TAIL_BYTES = 64 * 2**10


def finalize_run(run_id: UUID) -> None:
    """Finish a run whose training has ended; do nothing if it is not so."""
    run = lifecycle.rows().filter(pk=run_id, status=RunStatus.FINALIZING).first()
    if run is None:
        return
    attempt = Attempt.objects.get(run=run, number=run.attempt_number)
    if attempt.host != this_host():
        return
    directory = directory_of(attempt)
    if not directory.path.exists():
        summary = "The directory of the run is gone from disk."
        lifecycle.end_failed(run, FailureClass.INFRA_LOST, summary)
        return
    with directory.held(FINALIZER_LOCK) as lock:
        if lock is None or not _is_still_due(run):
            return
        while copy_log(attempt):
            pass
        if run.finalize_tries >= MAX_TRIES:
            summary = f"What the run left could not be kept in {MAX_TRIES} tries."
            lifecycle.end_failed(run, FailureClass.REGISTRATION, summary)
        else:
            _conclude(run, attempt, directory)
    remove_tree(run_directory(attempt))


def _is_still_due(run: Run) -> bool:
    """Count the try, unless another finalizer was done just before."""
    same = Run.objects.filter(pk=run.pk, status=RunStatus.FINALIZING)
    return bool(same.update(finalize_tries=F("finalize_tries") + 1))


def _conclude(run: Run, attempt: Attempt, directory: AttemptDirectory) -> None:
    outputs = collect_artifacts(directory.package / run.parameters[ARTIFACTS])
    if attempt.why == "cancelled" or run.cancel_requested_at:
        lifecycle.end_cancelled(run, outputs)
    elif attempt.why == "timeout":
        summary = f"The training took longer than {run.timeout_seconds} s."
        lifecycle.end_failed(run, FailureClass.TIMEOUT, summary, outputs)
    elif attempt.rc:
        summary = summarize_failure(attempt.rc, directory.log)
        lifecycle.end_failed(run, FailureClass.USER_CODE, summary, outputs)
    else:
        _succeed(run, directory, outputs)


def _succeed(run: Run, directory: AttemptDirectory, outputs: list[blobs.Entry]) -> None:
    try:
        version = _register(run, find_model(run, directory))
        intake = _take_package(run, directory)
    except DomainError as error:
        reason = FailureClass.REGISTRATION
        lifecycle.end_failed(run, reason, error.message, outputs)
    else:
        lifecycle.end_succeeded(run, version, intake, outputs)


def collect_artifacts(directory: Path) -> list[blobs.Entry]:
    """Store the files of the artifacts directory; links and odd names are left."""
    entries = []
    for path in blobs.files_below(directory):
        name = path.relative_to(directory).as_posix()
        if not blobs.is_safe(name):
            continue
        with path.open("rb") as content:
            sha256, size = blobs.store(content)
        entries.append({"path": name, "size": size, "sha256": sha256})
    return entries


def summarize_failure(rc: int, log: Path) -> str:
    """Return the last traceback of a log, or how the process ended."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        tail = file.read()
    start = tail.rfind(_TRACEBACK)
    if start >= 0:
        return tail[start:].decode("utf-8", "replace").strip()
    ending = f"signal {-rc}" if rc < 0 else f"exit code {rc}"
    last = tail[-1000:].decode("utf-8", "replace").strip()
    return f"The training ended with {ending}.\n{last}".strip()


def find_model(run: Run, directory: AttemptDirectory) -> Path:
    """Return the one directory with an MLmodel that the run wrote.

    `model/` is taken first; models that came with the package do not count.
    Raises InvalidParameter naming what was found.
    """
    package = directory.package
    artifacts = package / run.parameters[ARTIFACTS]
    before = json.loads((directory.path / "before.json").read_text())
    found = [
        path.parent
        for path in _model_files(package, skipped=[package / DATA, artifacts])
        if before.get(path.relative_to(package).as_posix()) != path.stat().st_mtime_ns
    ]
    if package / "model" in found:
        return package / "model"
    if len(found) == 1:
        return found[0]
    names = [path.relative_to(package).as_posix() + "/" for path in found]
    raise InvalidParameter(_no_single_model(package, names))


def _model_files(package: Path, skipped: list[Path]) -> Iterator[Path]:
    for folder, folders, names in os.walk(package, followlinks=False):
        here = Path(folder)
        folders[:] = [name for name in sorted(folders) if here / name not in skipped]
        if MLMODEL in names and not (here / MLMODEL).is_symlink():
            folders.clear()  # what lies inside a model belongs to it
            yield here / MLMODEL


def _no_single_model(package: Path, names: list[str]) -> str:
    if names:
        return f"save() left several models: {', '.join(names)}; leave one, in model/."
    there = sorted(path.name for path in package.iterdir())[:20]
    return (
        "save() left no model: no directory holds an MLmodel file; save it with "
        f"mlflow.<flavour>.save_model(…, 'model'). Found: {', '.join(there)}."
    )


def _register(run: Run, source: Path) -> ModelVersion:
    """Return the version of the run: the one begun before, or a new one.

    A version carries the id of its run from its first commit on, and one
    finalizer at a time is here, so whatever dies there is exactly one.
    """
    model = _target_model(run)
    begun = ModelVersion.objects.filter(model=model, lineage__run_id=str(run.id))
    version = begun.select_related("model", "created_by").first()
    if version is None:
        version = registry.create_version_from_directory(
            model,
            source,
            mlflow_run_id=run.mlflow_run_id,
            tags=_tags(run),
            lineage=_lineage(run),
            on_behalf_of=run.started_by,
            principal=run.run_as,
        )
    elif version.status == VersionStatus.PENDING:
        version = registry.take_bytes(version)
    if version.status != VersionStatus.READY:
        raise InvalidParameter(version.status_message)
    return version


def _target_model(run: Run) -> RegisteredModel:
    name = run.pipeline.target_model
    if not RegisteredModel.objects.filter(full_name=name).exists():
        with suppress(AlreadyExists):  # another run of the pipeline was first
            registry.create_model(name, principal=run.run_as)
    return registry.get_model(name)


def _tags(run: Run) -> dict[str, str]:
    return {
        "greenlight.run_id": str(run.id),
        "greenlight.package": run.package_version.package.full_name,
        "greenlight.package_version": run.package_version.number,
        "greenlight.snapshot": run.snapshot.digest,
    }


def _lineage(run: Run) -> dict[str, Any]:
    return {
        "run_id": str(run.id),
        "pipeline": run.pipeline.full_name,
        "package": run.package_version.package.full_name,
        "package_version": run.package_version.number,
        "package_digest": run.package_version.digest,
        "dataset": run.snapshot.dataset.full_name,
        "folder": run.folder,
        "snapshot": run.snapshot.digest,
        "parameters": run.parameters,
        "lock": environments.digest_of(run.package_version.lock),
    }


def _take_package(run: Run, directory: AttemptDirectory) -> packages.Intake:
    """Store the package as the run left it, without data, artifacts and caches."""
    package = directory.package
    left_out = [package / DATA, package / run.parameters[ARTIFACTS]]
    kept = [
        path
        for path in blobs.files_below(package)
        if "__pycache__" not in path.parts
        and not any(path.is_relative_to(folder) for folder in left_out)
    ]
    return packages.take_directory(package, kept)
