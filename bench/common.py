"""What every measurement needs: a database, servers, wrk, and lines of JSON.

Nothing here imports Django, so that a measurement may choose its settings first.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
POSTGRESQL = os.environ.get(
    "GREENLIGHT_BENCH_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432"
).rstrip("/")
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0


class BenchError(Exception):
    """A measurement cannot run or would not be honest; the message says why."""


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests per second, and latencies in milliseconds."""

    rate: float
    p50_ms: float
    p99_ms: float


def say(text: str) -> None:
    """Tell on standard error what is going on; standard output is for figures."""
    print(text, file=sys.stderr, flush=True)


def report(**figure: object) -> None:
    """Print one figure as a line of JSON; floats get three significant decimals."""
    rounded = {
        key: round(value, 3) if isinstance(value, float) else value
        for key, value in figure.items()
    }
    print(json.dumps(rounded), flush=True)


def median(loads: Sequence[Load]) -> Load:
    """Return the median of each figure over the rounds."""
    return Load(
        statistics.median(load.rate for load in loads),
        statistics.median(load.p50_ms for load in loads),
        statistics.median(load.p99_ms for load in loads),
    )


@contextlib.contextmanager
def postgresql_database(name: str, *, keep: bool = False) -> Iterator[str]:
    """Create a database, yield its URL, and drop it at the end.

    With `keep` it stays, and one that is there is used. Raises BenchError when PostgreSQL cannot be reached.
    """
    try:
        server = psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True)
    except psycopg.OperationalError as error:
        raise BenchError(
            f"PostgreSQL does not answer at {POSTGRESQL}; name another one in "
            f"GREENLIGHT_BENCH_POSTGRESQL ({error})."
        ) from error
    with server:
        there = "SELECT 1 FROM pg_database WHERE datname = %s"
        if not (keep and server.execute(there, [name]).fetchone()):
            server.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield f"{POSTGRESQL}/{name}"
        finally:
            if not keep:
                server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(
    command: Sequence[str],
    *,
    port: int,
    ready: str,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Run a server in its own process group, and yield its URL once it answers.

    `ready` is a path that answers below 500. Raises BenchError with the end of
    the log when the server ends or stays silent.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, port, ready, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        _stop(process)


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, ready: str, log: Path
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(port, ready):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-3000:]
            raise BenchError(f"{tail}\nThis server did not start: {process.args!r}")
        time.sleep(0.2)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def require_wrk() -> str:
    """Return the path of wrk. Raises BenchError when it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        raise BenchError("wrk is missing; install it: apt-get install wrk")
    return found


def wrk(
    url: str,
    script: Path,
    *,
    connections: int,
    seconds: float,
    arguments: Sequence[object] = (),
) -> Load:
    """Load a server with wrk for some seconds, one thread, persistent connections.

    The script prints what it saw as JSON in `done`. Raises BenchError when any
    request failed: a server that refuses is fast.
    """
    command = [require_wrk(), "-t1", f"-c{connections}", f"-d{seconds:g}s"]
    command += ["--timeout", "60s", "-s", str(script), url, "--"]
    command += [str(argument) for argument in arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout.splitlines()[-1])
    if seen["errors"] or not seen["requests"]:
        raise BenchError(f"{url} did not serve every request: {seen}")
    return Load(
        rate=seen["requests"] / seen["microseconds"] * 1e6,
        p50_ms=seen["p50_us"] / 1000,
        p99_ms=seen["p99_us"] / 1000,
    )
