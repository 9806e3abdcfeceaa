"""The directory of an attempt: how the shim and the control plane talk."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from runners.models import Attempt

SHIM_LOCK, FINALIZER_LOCK = "lock", "finalizer.lock"
_PROBE_SECONDS = 0.5


@dataclass(frozen=True)
class AttemptDirectory:
    """`<home>/runs/<run id>/<attempt number>/`; see `runners/shim.py`."""

    path: Path

    @property
    def package(self) -> Path:
        return self.path / "mlpackage"

    @property
    def log(self) -> Path:
        return self.path / "log"

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file of the shim, or None while there is none."""
        try:
            content: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        return content

    def exit(self) -> dict[str, Any] | None:
        """Return how the training ended, or None while it has not."""
        return self.read("exit.json")

    def ask_to_cancel(self) -> None:
        """Have the shim terminate the training."""
        with suppress(FileNotFoundError):
            (self.path / "cancel").touch()

    def is_held(self, name: str = SHIM_LOCK) -> bool:
        """Tell whether a living process holds a lock; the kernel knows at once."""
        try:
            with (self.path / name).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextmanager
    def held(self, name: str) -> Iterator[int | None]:
        """Hold a lock and give its descriptor, or None if another holds it.

        Probes hold it for microseconds, so a short patience tells them apart.
        """
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield descriptor if _take(descriptor) else None
        finally:
            os.close(descriptor)

    def kill_leftovers(self) -> None:
        """Kill the training process of a shim that was killed itself."""
        pid = (self.read("shim.json") or {}).get("child_pid")
        if pid is None or not _is_below(pid, self.path):
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def kill_all() -> None:
    """Kill every training of this home, as when the whole stack is stopped.

    Their attempts are lost then, and tried again after the next start.
    """
    for path in Path(settings.RUNS_DIR).glob("*/*/"):
        directory = AttemptDirectory(path)
        pid = (directory.read("shim.json") or {}).get("pid")
        if pid is not None and directory.is_held():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            directory.kill_leftovers()


def _take(descriptor: int) -> bool:
    deadline = time.monotonic() + _PROBE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _is_below(pid: int, directory: Path) -> bool:
    """Tell whether a process works in a directory: ids are used again."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True).is_relative_to(directory)
    except OSError:
        return False


def directory_of(attempt: Attempt) -> AttemptDirectory:
    return AttemptDirectory(run_directory(attempt) / str(attempt.number))


def run_directory(attempt: Attempt) -> Path:
    return Path(settings.RUNS_DIR) / str(attempt.run_id)


def remove_tree(directory: Path) -> None:
    """Delete a directory, read-only parts included; what is gone is no error."""
    for folder in (directory, *directory.rglob("*")):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)
    shutil.rmtree(directory, ignore_errors=True)
