"""Serve the WSGI application on a unix socket, with granian.

    python -m greenlight.supervisor.web socket workers threads

The application is loaded before the workers are forked, so that they share its
memory.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.urls import get_resolver
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from greenlight.supervisor.shim import die_with_parent
from greenlight.wsgi import application


def serve(socket: Path, workers: int, threads: int) -> None:
    """Serve until told to stop; a worker that dies is replaced at once."""

    def load(_target: str) -> Callable[..., Any]:
        die_with_parent()
        return application

    server = Granian(
        "greenlight.wsgi:application",
        uds=socket,
        uds_permissions=0o600,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        backlog=2048,
        respawn_failed_workers=True,
        workers_kill_timeout=8,
        log_level=LogLevels.warning,
    )
    server.bind_uds = socket  # made absolute by granian: too long for some homes
    socket.unlink(missing_ok=True)  # left by one that was killed
    get_resolver().url_patterns  # noqa: B018  # imports every view, and MLflow
    gc.freeze()
    server.serve(target_loader=load)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
