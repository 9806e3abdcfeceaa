"""A stack of real processes for tests, started the way a user starts it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, LiteralString, Self
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg

from greenlight.supervisor import shim

ROOT = Path(__file__).resolve().parent.parent.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]
START_SECONDS = 150.0
STOP_SECONDS = 60.0
_DATABASE = "greenlight.sqlite3"


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    """Return the first true answer of a condition; fail after a deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.05)
    return answer


def empty_database() -> Path:
    """Return a migrated SQLite database, made once per state of the migrations."""
    state = hashlib.sha256(version("mlflow").encode())
    for migration in sorted(ROOT.glob("*/migrations/*.py")):
        state.update(migration.read_bytes())
    home = ROOT / ".tmp" / f"empty-{state.hexdigest()[:16]}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "done").exists():
            subprocess.run(
                [*MANAGE, "migrate", "--verbosity", "0"],
                cwd=ROOT,
                env={**os.environ, "GREENLIGHT_HOME": str(home)},
                check=True,
            )
            (home / "done").touch()
    return home / _DATABASE


def _heed_interrupts() -> None:
    """A shell starts its background jobs with SIGINT ignored, and so all below."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Stack:
    """`manage.py up` in a home and on a port of its own; a context manager.

    When the suite runs on PostgreSQL and a broker, each stack gets a database and
    a queue of its own there. On SQLite it begins with a copy of an empty, migrated
    database, which saves ten seconds of MLflow's migrations, or with none at all.

    with Stack(tmp_path / "home") as stack:
        stack.get("/api/v1/catalogs")
        stack.kill("worker")
    """

    def __init__(
        self,
        home: Path,
        port: int | None = None,
        env: dict[str, str] | None = None,
        command: list[str] | None = None,
        *,
        begins_with_nothing: bool = False,
    ) -> None:
        self.home = home
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = home.with_name(f"{home.name}.out")
        self.command = command or [*MANAGE, "up"]
        self.env = {
            **{key: value for key, value in os.environ.items() if "MAKE" not in key},
            "GREENLIGHT_HOME": str(home),
            "GREENLIGHT_PORT": str(self.port),
            "GREENLIGHT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            **(env or {}),
        }
        self._server = urlsplit(self.env.get("GREENLIGHT_DATABASE_URL", "sqlite:///"))
        self._database = ""
        if self._server.scheme.startswith("postgres"):
            self._database = f"stack_{uuid.uuid4().hex[:12]}"
            mine = self._server._replace(path=f"/{self._database}")
            self.env["GREENLIGHT_DATABASE_URL"] = urlunsplit(mine)
            self.env["GREENLIGHT_QUEUE"] = self._database
        self._begins_with_nothing = begins_with_nothing
        self._admin: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._database:
            self._tell_server(f'CREATE DATABASE "{self._database}"')
        elif not self._begins_with_nothing:
            self.home.mkdir(parents=True, exist_ok=True)
            shutil.copy(empty_database(), self.home / _DATABASE)
        try:
            self.start()
        except BaseException:  # a timeout of the test, too, must leave nothing
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        if self._database:
            self._tell_server(f'DROP DATABASE "{self._database}" WITH (FORCE)')

    def _tell_server(self, statement: LiteralString) -> None:
        with psycopg.connect(urlunsplit(self._server), autocommit=True) as server:
            server.execute(statement)

    def start(self) -> None:
        """Start the stack and wait until it says that it is ready."""
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                # it ends with the process of the tests, however that ends
                [sys.executable, shim.__file__, *self.command],
                cwd=ROOT,
                env=self.env,
                stdout=output,
                stderr=output,
                preexec_fn=_heed_interrupts,
            )
        wait_for(self._is_ready, f"no `ready` in {self.output}", START_SECONDS)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        return f"ready {self.url}\n" in self.output.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to the process that was started; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def manage(self, *arguments: str) -> str:
        """Run a management command in this home and return what it prints."""
        return subprocess.run(
            [*MANAGE, *arguments],
            cwd=ROOT,
            env=self.env,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    @property
    def admin(self) -> dict[str, str]:
        """The admin's url, username, password and token."""
        if not self._admin:
            self._admin = json.loads(self.manage("bootstrap", "--json"))
        return self._admin

    def request(
        self, method: str, path: str, *, token: str = "", **options: Any
    ) -> httpx.Response:
        """Call the public port, as the admin unless another token is given."""
        headers = {"Authorization": f"Bearer {token or self.admin['token']}"}
        return httpx.request(
            method, self.url + path, headers=headers, timeout=30, **options
        )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def sql(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        """Run a statement in this stack's database, behind the application's back."""
        if self._database:
            with psycopg.connect(self.env["GREENLIGHT_DATABASE_URL"]) as server:
                found = server.execute(statement)
                return found.fetchall() if found.description else []
        path = self.home / _DATABASE
        with closing(sqlite3.connect(path, timeout=20)) as database, database:
            return database.execute(statement).fetchall()

    def pid(self, program: str) -> int:
        """Return the id of web, bytes, worker, agent or envoy; 0 while it is down."""
        answer = subprocess.run(
            [
                str(Path(sys.executable).with_name("supervisorctl")),
                *("-c", "supervisord.conf", "pid", program),
            ],
            cwd=self.home,
            check=False,  # it exits with 7 while the program is down
            stdout=subprocess.PIPE,
            text=True,
        )
        return int(answer.stdout)

    def children(self, program: str) -> list[int]:
        """Return the child processes of a program: the workers of web, for one."""
        parent = self.pid(program)
        return [pid for pid in self.processes() if _parent_of(pid) == parent]

    def kill(self, program: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a program, and return the process id that it had."""
        pid = self.pid(program)
        os.kill(pid, number)
        return pid

    def processes(self) -> list[int]:
        """Return every living process of this home, however it was started."""
        mark = f"GREENLIGHT_HOME={self.home}".encode()
        return [
            int(process.name)
            for process in Path("/proc").glob("[0-9]*")
            if mark in _read(process / "environ").split(b"\0")
            or str(self.home).encode() in _read(process / "cmdline")
        ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def _parent_of(pid: int) -> int:
    _, _, rest = _read(Path(f"/proc/{pid}/stat")).rpartition(b") ")
    return int(rest.split()[1]) if rest else 0
