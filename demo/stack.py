"""Start a whole stack of its own, and stop it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_MARKER = "made-by-make-demo"


class Stack:
    """`manage.py up` with a fresh home; a context manager."""

    def __init__(self) -> None:
        self.home = fresh_home()
        self.port = free_port(int(os.environ.get("GREENLIGHT_PORT", "8000")))
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            **os.environ,
            "GREENLIGHT_HOME": str(self.home),
            "GREENLIGHT_PORT": str(self.port),
            # the receiver that plays the CI listens on this machine
            "GREENLIGHT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        }

    def __enter__(self) -> Stack:
        self.log = (self.home / "up.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "up"],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ready "):
                return self
        self.process.wait()
        raise AssertionError(
            f"The stack did not start:\n{(self.home / 'up.log').read_text()[-3000:]}"
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()

    def manage(self, *arguments: str) -> str:
        """Run a management command on this stack and return what it prints."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def bootstrap(self, *arguments: str) -> dict[str, Any]:
        """Return the admin's sign-in and token."""
        answer: dict[str, Any] = json.loads(
            self.manage("bootstrap", "--json", *arguments)
        )
        return answer


def fresh_home() -> Path:
    """Return an empty home: the one asked for, or the demo's own, wiped."""
    given = os.environ.get("GREENLIGHT_HOME")
    home = Path(given) if given else ROOT / ".greenlight" / "demo"
    if (home / _MARKER).exists():
        for directory in home.rglob("*"):
            if directory.is_dir() and not directory.is_symlink():
                directory.chmod(0o755)
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    if any(home.iterdir()):
        raise SystemExit(f"{home} is not empty; name an empty one in GREENLIGHT_HOME.")
    (home / _MARKER).touch()
    return home.resolve()


def free_port(wanted: int) -> int:
    """Return the wanted port, or another one when it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("No free port on 127.0.0.1.")
