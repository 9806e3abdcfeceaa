"""Hold one training process: its time limit, its log, its end. Standard library only.

Started as `python -I shim.py <attempt directory> <fd of the held lock>`, detached
from whoever started it. Workers, broker and database may come and go meanwhile:
all that this process needs is its directory.

- `lock`      an flock that is held for as long as this process lives
- `spec.json` argv, cwd, timeout_seconds, grace_seconds, max_log_bytes
- `shim.json` pid of this process and of the training process
- `cancel`    if it appears, the training is terminated
- `log`       output of the training
- `exit.json` written last, by rename: rc, why, started_at, ended_at, usage
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_POLL_SECONDS = 0.1
_CHUNK = 2**16
_libc = ctypes.CDLL(None, use_errno=True)


class Shim:
    """The training process of one attempt, and what is known of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.spec = json.loads((directory / "spec.json").read_text())
        self.why = "exited"
        self.started_at = time.time()
        self.deadline = time.monotonic() + self.spec["timeout_seconds"]
        self.kill_at: float | None = None
        self.dropped_bytes = 0
        self.asked_to_stop = False

    def run(self) -> None:
        """Start the training, wait for its end, and write down how it went."""
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGTERM, self._stop)
        with (self.directory / "log").open("ab", buffering=0) as log:
            rc = self._hold(log)
        self._write("exit.json", self._end(rc))

    def _stop(self, *_: Any) -> None:
        self.asked_to_stop = True

    def _hold(self, log: BinaryIO) -> int:
        try:
            child = subprocess.Popen(  # noqa: S603  # what the launcher wrote
                self.spec["argv"],
                cwd=self.spec["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
                preexec_fn=_restrain,  # one thread only
            )
        except OSError as error:
            log.write(f"The training could not be started: {error}\n".encode())
            return 127
        self._write("shim.json", {"pid": os.getpid(), "child_pid": child.pid})
        self._follow(child, log)
        return child.returncode

    def _follow(self, child: subprocess.Popen[bytes], log: BinaryIO) -> None:
        """Copy output until the process ends; what it left behind is killed."""
        assert child.stdout is not None  # noqa: S101  # it is a pipe
        os.set_blocking(child.stdout.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while child.poll() is None:
                for _ in selector.select(_POLL_SECONDS):
                    if not self._copy(child, log):
                        selector.unregister(child.stdout)
                self._judge(child)
        _kill_group(child.pid, signal.SIGKILL)
        _kill_orphans()
        while self._copy(child, log):
            pass

    def _copy(self, child: subprocess.Popen[bytes], log: BinaryIO) -> bool:
        """Copy some output; False when there is none now and none to come."""
        assert child.stdout is not None  # noqa: S101  # it is a pipe
        chunk = child.stdout.read(_CHUNK)
        if not chunk:
            return False
        room = max(0, self.spec["max_log_bytes"] - log.tell())
        log.write(chunk[:room])
        self.dropped_bytes += max(0, len(chunk) - room)
        return True

    def _judge(self, child: subprocess.Popen[bytes]) -> None:
        """Terminate what was cancelled or took too long, and kill what is deaf."""
        now = time.monotonic()
        if self.kill_at is not None:
            if now >= self.kill_at:
                _kill_group(child.pid, signal.SIGKILL)
            return
        if self.asked_to_stop or (self.directory / "cancel").exists():
            self.why = "cancelled"
        elif now >= self.deadline:
            self.why = "timeout"
        else:
            return
        self.kill_at = now + self.spec["grace_seconds"]
        _kill_group(child.pid, signal.SIGTERM)

    def _end(self, rc: int) -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "rc": rc,
            "why": self.why,
            "started_at": self.started_at,
            "ended_at": time.time(),
            "usage": {
                "cpu_s": round(used.ru_utime + used.ru_stime, 3),
                "maxrss_kb": used.ru_maxrss,
                "dropped_log_bytes": self.dropped_bytes,
            },
        }

    def _write(self, name: str, content: dict[str, Any]) -> None:
        """Write a file that is whole or absent, whatever dies."""
        fresh = self.directory / f".{name}"
        with fresh.open("w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self.directory / name)


def _restrain() -> None:
    """Limit the training process: it dies with the shim and gains no rights."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    with suppress(OSError):
        # when memory is short the kernel takes the training, not the database
        Path("/proc/self/oom_score_adj").write_text("500")


def _kill_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


def _kill_orphans() -> None:
    """Kill grandchildren that left the process group; we inherited them."""
    for _ in range(10):
        children = Path("/proc/self/task").glob("*/children")
        pids = [int(pid) for file in children for pid in file.read_text().split()]
        if not pids:
            return
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main() -> None:
    directory, lock = Path(sys.argv[1]), int(sys.argv[2])
    if os.fork():
        os._exit(0)  # whoever started us must not wait for us
    os.set_inheritable(lock, False)  # the training must not hold it after we died
    if (directory / "exit.json").exists():
        sys.exit(4)
    Shim(directory).run()


if __name__ == "__main__":
    main()
