"""Run the whole stack in the foreground until SIGTERM or SIGINT."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from greenlight.management.commands.bootstrap import prepare
from greenlight.supervisor import keep, programs
from serving import envoy


class Command(BaseCommand):
    """Prepare the home, then become the process that keeps the stack running.

    It prints `ready <url>` when the public port answers. All state is below
    GREENLIGHT_HOME, and GREENLIGHT_PORT is the one public port.
    """

    help = __doc__ or ""
    requires_system_checks = []  # they import MLflow: seconds for nothing

    def handle(self, **_options: Any) -> None:
        os.umask(0o077)
        for name in ("logs", "gateway", "tmp"):
            (settings.HOME / name).mkdir(parents=True, exist_ok=True)
        lock = _lock_home()
        _require_free_port()
        prepare()
        envoy.write_bootstrap(settings.GATEWAY_DIR, settings.PORT)
        programs.write_configuration()
        os.set_inheritable(lock, True)
        _become_keeper()


def _lock_home() -> int:
    """Hold the home for as long as the stack runs, across the exec."""
    lock = os.open(settings.HOME / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(lock, 20).decode()
        raise CommandError(
            f"A stack runs in {settings.HOME} already (process {pid}). "
            "Stop it, or choose another GREENLIGHT_HOME."
        ) from None
    os.truncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def _require_free_port() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.BIND_ADDRESS, settings.PORT))
        except OSError as error:
            raise CommandError(
                f"Port {settings.PORT} cannot be used ({error.strerror}). "
                "Choose another GREENLIGHT_PORT."
            ) from error


def _become_keeper() -> None:
    """Replace this process by the small one that stays: same id, a tenth of the size."""
    here = str(settings.BASE_DIR)
    os.environ["GREENLIGHT_HOME"] = str(settings.HOME)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    os.environ["PYTHONUNBUFFERED"] = "1"
    os.environ["TMPDIR"] = str(settings.HOME / "tmp")  # nothing goes outside the home
    os.environ["DJANGO_SETTINGS_MODULE"] = "greenlight.settings"
    os.chdir(settings.HOME)
    script = str(Path(keep.__file__))
    arguments = [sys.executable, "-P", script, settings.PUBLIC_URL, str(settings.PORT)]
    sys.stdout.flush()
    os.execv(sys.executable, arguments)  # noqa: S606  # our own program
