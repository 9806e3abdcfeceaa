"""Model servers as processes of this machine: MLflow's scoring server on a socket.

They are found again by their command line, so neither a killed agent nor a lost
row leaves one behind, and no healthy one is ever restarted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from core.outbound import OutboundFailed, unix_get
from serving.xds.wire import relative

_PROC = Path("/proc")
_APP = "mlflow.pyfunc.scoring_server.app:app"
_MODEL_PATH = "__pyfunc_model_path__"
_PING_SECONDS = 2.0
# of a worker, beside the ones that MLflow needs; nothing of the control plane's
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same id."""

    pid: int
    started: int  # clock ticks since boot

    @property
    def is_running(self) -> bool:
        """Tell whether it still runs; a child of ours that ended is buried."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return bool(self.started) and _started(self.pid) == self.started

    def stop(self) -> None:
        """Ask it to finish its requests and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, with all that it started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


def socket_of(server_id: uuid.UUID) -> str:
    """Return the socket of a server, seen from the home."""
    return relative(settings.GATEWAY_DIR, f"models/{server_id.hex}.sock")


def start(server_id: uuid.UUID, model: Path) -> Process:
    """Start a model server in a session of its own and return its process."""
    place = settings.GATEWAY_DIR / "models"
    scratch = place / server_id.hex
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    (place / f"{server_id.hex}.sock").unlink(missing_ok=True)
    with (place / f"{server_id.hex}.log").open("ab") as log:
        child = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            command(server_id),
            cwd=settings.HOME,
            env=_environment(model, scratch),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    child.returncode = 0  # Process buries it; Popen need not warn
    return Process(child.pid, _started(child.pid))


def command(server_id: uuid.UUID) -> list[str]:
    """Return the command line of a model server."""
    return [
        sys.executable,
        "-m",
        "uvicorn",
        "--uds",
        socket_of(server_id),
        "--log-level",
        "warning",
        "--no-access-log",
        # longer than Envoy keeps idle connections, or it would meet a reset
        "--timeout-keep-alive",
        "300",
        "--timeout-graceful-shutdown",
        "30",
        _APP,
    ]


def _environment(model: Path, scratch: Path) -> dict[str, str]:
    """Return a clean environment: no secret and no setting of ours in it."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **passed,
        **dict.fromkeys(_ONE_THREAD, "1"),
        _MODEL_PATH: str(model),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": scratch.as_uri(),
    }


def answers(server_id: uuid.UUID) -> bool:
    """Ask the server whether its model is loaded."""
    try:
        answer = unix_get(socket_of(server_id), "/ping", timeout=_PING_SECONDS)
    except OutboundFailed:
        return False
    return answer.status == 200


def last_words(server_id: uuid.UUID) -> str:
    """Return the end of a server's log: why it died, usually."""
    path = settings.GATEWAY_DIR / "models" / f"{server_id.hex}.log"
    if not path.exists():
        return ""
    lines = path.read_bytes()[-4096:].decode(errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else ""


def clean_up(server_id: uuid.UUID) -> None:
    """Remove the socket of a server that has ended; its log stays."""
    path = settings.GATEWAY_DIR / "models" / f"{server_id.hex}.sock"
    path.unlink(missing_ok=True)


def running() -> dict[uuid.UUID, Process]:
    """Find the model servers of this home among all processes."""
    found: dict[uuid.UUID, Process] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (server_id := _server_id(entry)):
            found[server_id] = Process(int(entry.name), _started(int(entry.name)))
    return found


def stop_all(seconds: float = 7.0) -> None:
    """End every model server of this home; who does not end in time is killed."""
    processes = list(running().values())
    for process in processes:
        process.stop()
    until = time.monotonic() + seconds
    while any(p.is_running for p in processes) and time.monotonic() < until:
        time.sleep(0.05)
    for process in processes:
        process.kill()


def _server_id(entry: Path) -> uuid.UUID | None:
    """Return which server a process is, by its command line and directory."""
    try:
        words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        if "--uds" not in words or (entry / "cwd").resolve() != settings.HOME.resolve():
            return None
        socket = Path(words[words.index("--uds") + 1])
        server_id = uuid.UUID(hex=socket.stem)
    except (OSError, ValueError, IndexError):
        return None
    return server_id if str(socket) == socket_of(server_id) else None


def _started(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 if it has ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in {"Z", "X"} else int(fields[19])
