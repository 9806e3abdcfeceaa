"""Stay in the foreground while the stack runs, and take all of it down at the end.

    python keep.py url port

Run in the home, as the same process that `manage.py up` was. It starts
supervisord, says `ready <url>` once the public port answers, and ends when told
to (0), or when something cannot be kept running (1).

Orphans of every process below it become its own children, so that nothing can
outlive it: neither a model server nor a training. A training that is cut off
here is a lost attempt, and is repeated at the next start.
"""

from __future__ import annotations

import ctypes
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import Error, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

# Relative to the working directory, which is the home: a socket's path is short.
SOCKET = "/proc/self/cwd/supervisor.sock"
PR_SET_CHILD_SUBREAPER = 36
_READY_SECONDS = 180.0
_LOOK_SECONDS = 2.0
_STOP_SECONDS = 40.0
_SIGINT_BIT = 1 << (signal.SIGINT - 1)


class StackError(Exception):
    """The stack cannot run; the message says what to read."""


class Stack:
    """supervisord and everything below it."""

    def __init__(self, url: str, port: int) -> None:
        self.url = url
        self.port = port
        self.stop_wanted = threading.Event()
        self.make = _make_above()
        self.exit_codes: dict[int, int] = {}
        self.look_again_at = 0.0

    def run(self) -> int:
        """Run until told to stop; return the code to exit with."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop_wanted.set())
        self.supervisord = _start_supervisord()
        try:
            self._wait_until_ready()
            while not self._stops(pause=0.5):
                self._check()
        except StackError as problem:
            sys.stderr.write(f"{problem}\n")
            return 1
        finally:
            self._take_down()
        return 0

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not _answers(self.port):
            if self._stops(pause=0.2):
                return
            self._check()
            if time.monotonic() > deadline:
                raise StackError(
                    f"No answer from {self.url} yet; see {Path('logs').resolve()}"
                )
        sys.stdout.write(f"ready {self.url}\n")
        sys.stdout.flush()

    def _stops(self, pause: float) -> bool:
        """Sleep, and tell whether it is time to stop."""
        self.stop_wanted.wait(pause)
        if self.make and not _waits_for_us(self.make):
            self.stop_wanted.set()
        return self.stop_wanted.is_set()

    def _check(self) -> None:
        self._reap()
        if self.supervisord.pid in self.exit_codes:
            raise StackError(
                f"supervisord ended; see {Path('logs/supervisord.log').resolve()}"
            )
        if time.monotonic() < self.look_again_at:
            return
        self.look_again_at = time.monotonic() + _LOOK_SECONDS
        for name in _given_up():
            log = Path(f"logs/{name}.log").resolve()
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise StackError(f"{tail}\n{name} does not stay up; see {log}")

    def _reap(self) -> None:
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                self.exit_codes[pid] = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            return

    def _take_down(self) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        self._reap()
        if self.supervisord.pid not in self.exit_codes:
            _stop_programs()
            self.supervisord.terminate()
        while self.supervisord.pid not in self.exit_codes:
            time.sleep(0.05)
            self._reap()
            if time.monotonic() > deadline:
                break
        while (left := _below(os.getpid())) and time.monotonic() < deadline + 5:
            for pid in left:
                _kill(pid)
            time.sleep(0.02)
            self._reap()


def _start_supervisord() -> subprocess.Popen[bytes]:
    shim = [sys.executable, "-P", str(Path(__file__).with_name("shim.py"))]
    program = ["-m", "supervisor.supervisord", "-n", "-c", "supervisord.conf"]
    return subprocess.Popen(  # noqa: S603  # our own programs
        [*shim, sys.executable, "-P", *program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C in the terminal is ours to handle
    )


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _given_up() -> list[str]:
    """Return the programs that supervisord no longer tries to start."""
    with _supervisor() as supervisor:
        states = supervisor.getAllProcessInfo()
        return [each["name"] for each in states if each["statename"] == "FATAL"]
    return []


def _stop_programs() -> None:
    """Tell all programs to stop at once; supervisord by itself takes turns."""
    with _supervisor() as supervisor:
        supervisor.stopAllProcesses(False)


@contextmanager
def _supervisor() -> Iterator[Any]:
    """Talk to supervisord; what is said is lost while it starts or ends."""
    transport = SupervisorTransport(None, None, f"unix://{SOCKET}")
    try:
        with suppress(OSError, http.client.HTTPException, Error):
            yield ServerProxy("http://127.0.0.1", transport=transport).supervisor
    finally:
        transport.close()


def _make_above() -> int:
    """Return the process id of the `make` that started us, or 0.

    make ends its recipe when the terminal sends SIGINT to both, but a SIGINT
    sent to make alone does not reach us: make then only waits for us to end.
    """
    parent = os.getppid()
    name = Path(f"/proc/{parent}/comm")
    is_make = name.exists() and name.read_text().strip() in {"make", "gmake"}
    return parent if is_make and _waits_for_us(parent) else 0


def _waits_for_us(make: int) -> bool:
    """Tell whether make still handles SIGINT; interrupted, it resets its handler."""
    if os.getppid() != make:
        return False
    for line in Path(f"/proc/{make}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) & _SIGINT_BIT)
    return False


def _below(pid: int) -> list[int]:
    """Return every descendant of a process that is not yet gone."""
    children = defaultdict(list)
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = entry.read_text().rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        children[int(rest.split()[1])].append(int(entry.parent.name))
    found = children[pid]
    for one in found:  # grows while we walk
        found.extend(children[one])
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(Stack(sys.argv[1], int(sys.argv[2])).run())
