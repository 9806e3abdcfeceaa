"""Start an attempt: claim the run, prepare its directory, let the shim go."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction

from core.errors import Conflict, DomainError
from core.states import transition
from runners import datasets, environments, lifecycle, packages
from runners.attempts import SHIM_LOCK, AttemptDirectory, directory_of
from runners.models import Attempt, AttemptStatus, FailureClass, Run, RunStatus
from runners.packages import DATA
from runners.parameters import ARTIFACTS

GRACE_SECONDS = 30
MAX_LOG_BYTES = 64 * 2**20
_HERE = Path(__file__).parent


def this_host() -> str:
    return socket.gethostname()


def launch_run(run_id: UUID) -> None:
    """Start the next attempt at a queued run; do nothing if it is not queued.

    Whoever dies in here lets go of the attempt's lock, and the keeper begins
    anew. An error of the package, its data or its environment ends the run.
    """
    run = lifecycle.rows().filter(pk=run_id, status=RunStatus.QUEUED).first()
    if run is None or _must_wait(run):
        return
    try:
        attempt = lifecycle.begin_attempt(run, this_host())
    except Conflict:
        return
    directory = directory_of(attempt)
    directory.path.mkdir(parents=True, mode=0o700)
    with directory.held(SHIM_LOCK) as lock:
        if lock is None:
            return
        environment = _prepare(run, attempt, directory)
        if environment is not None and _may_begin(run, attempt):
            _spawn(run, directory, environment, lock)


def _must_wait(run: Run) -> bool:
    """Tell whether the run has to wait for room on this host; write down for what."""
    active = Run.objects.filter(status__in=[RunStatus.PREPARING, RunStatus.RUNNING])
    reason = ""
    if run.gpu and not Path("/dev/nvidia0").exists():
        reason = "NO_CAPACITY: no GPU on this host"
    elif active.count() >= slots():
        reason = f"NO_CAPACITY: {slots()} runs are active"
    if reason != run.wait_reason:
        queued = Run.objects.filter(pk=run.pk, status=RunStatus.QUEUED)
        queued.update(wait_reason=reason)
    return bool(reason)


def slots() -> int:
    """Return how many runs may be active on one host."""
    return settings.RUN_SLOTS


def _prepare(run: Run, attempt: Attempt, directory: AttemptDirectory) -> Path | None:
    """Lay out the directory and return the environment, or end the run and say why."""
    try:
        packages.check_out(run.package_version, directory.package)
        _remember_models(directory)
        datasets.check_out(run.snapshot, run.folder, directory.package / DATA)
        (directory.package / run.parameters[ARTIFACTS]).mkdir(
            parents=True, exist_ok=True
        )
        for name in ("home", "tmp"):
            (directory.path / name).mkdir()
        shutil.copy(_HERE / "bootstrap.py", directory.path)
        return environments.ensure(run.package_version.lock)
    except environments.EnvironmentFailed as error:
        _give_up(run, attempt, FailureClass.ENVIRONMENT, error)
    except DomainError as error:
        _give_up(run, attempt, FailureClass.DATA, error)
    return None


def _remember_models(directory: AttemptDirectory) -> None:
    """Note the models that came with the package: the run did not make them."""
    found = {
        path.relative_to(directory.package).as_posix(): path.stat().st_mtime_ns
        for path in directory.package.rglob("MLmodel")
    }
    (directory.path / "before.json").write_text(json.dumps(found))


@transaction.atomic
def _give_up(
    run: Run, attempt: Attempt, failure: FailureClass, error: DomainError
) -> None:
    transition(attempt, AttemptStatus.FAILED)
    lifecycle.end_failed(run, failure, error.message)


@transaction.atomic
def _may_begin(run: Run, attempt: Attempt) -> bool:
    """Make the run RUNNING, or end it here if it was cancelled meanwhile."""
    if lifecycle.fence(run).cancel_requested_at:
        transition(attempt, AttemptStatus.FAILED, why="cancelled")
        lifecycle.end_cancelled(run)
        return False
    lifecycle.begin_training(run, attempt)
    return True


def _spawn(run: Run, directory: AttemptDirectory, environment: Path, lock: int) -> None:
    """Start the shim, detached; it takes over the lock that is held here."""
    spec = {
        "argv": [
            str(environments.python_of(environment)),
            "-u",
            str(directory.path / "bootstrap.py"),
        ],
        "cwd": str(directory.package),
        "timeout_seconds": run.timeout_seconds,
        "grace_seconds": GRACE_SECONDS,
        "max_log_bytes": MAX_LOG_BYTES,
    }
    (directory.path / "spec.json").write_text(json.dumps(spec))
    with (directory.path / "shim.err").open("wb") as errors:
        subprocess.run(  # noqa: S603  # our own file
            [sys.executable, "-I", _HERE / "shim.py", directory.path, str(lock)],
            env=_environ(run, directory, environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            pass_fds=(lock,),
            start_new_session=True,
            check=True,
        )


def _environ(
    run: Run, directory: AttemptDirectory, environment: Path
) -> dict[str, str]:
    """Build the environment of the training code; nothing of ours is inherited.

    MLflow's tracking goes to a private directory: the code holds no token, so
    it cannot register; the finalizer does.
    """
    return {
        **run.parameters,
        "PATH": f"{environment / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(directory.path / "home"),
        "TMPDIR": str(directory.path / "tmp"),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "data_directory": "./data",
        "GREENLIGHT_RUN": str(run.id),
        "GREENLIGHT_ATTEMPT": str(run.attempt_number),
        "MLFLOW_TRACKING_URI": (directory.path / "tracking").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
