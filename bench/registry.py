"""B-1 and B-2: resolve an alias over HTTP, against MLflow's own server.

    python -m bench.registry [--quick]

All servers run at once on one PostgreSQL database, with two workers each, and are
loaded in turn, so that a change of the machine's mood meets all of them.
Greenlight answers a token whose right to EXECUTE comes from a grant on the schema
to a group; MLflow answers anybody (B-1) or a plain user (B-2).
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import random
import secrets
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx

from bench import common, servers
from bench.common import BenchError, Load
from bench.seed import ALIAS, READER, Size, seed

_WARM_UP_SECONDS = 5.0
_CONNECTIONS = (1, 8, 32)
_SCRIPT = Path(__file__).with_name("resolve.lua")
_OURS = "greenlight"
_NO_AUTH = "mlflow server (no auth)"
_DEFAULT = "mlflow server --app-name basic-auth"
_CACHED = "mlflow server --app-name basic-auth (credential cache on)"
# It answers five times a second: the rounds are longer, and 32 callers at once
# would wait for most of one.
_SLOW, _PATIENCE = _DEFAULT, 8


@dataclass(frozen=True)
class Server:
    """A running server, and the header with which its caller signs in."""

    name: str
    url: str
    authorization: str


def main() -> None:
    """Measure, and print a line of JSON per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds")
    quick = parser.parse_args().quick
    try:
        measure(rounds=3 if quick else 5, seconds=2.0 if quick else 5.0)
    except BenchError as problem:
        sys.exit(str(problem))


def measure(rounds: int, seconds: float) -> None:
    """Run the rounds against all servers, and report B-1 and B-2."""
    common.require_wrk()
    _require_fast_loop()
    size = Size()
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        os.environ["GREENLIGHT_HOME"] = str(home / "greenlight")
        name = f"greenlight_bench_{os.getpid()}"
        database = stack.enter_context(common.postgresql_database(name))
        common.say(f"seeding {size.models} models")
        token = seed(database, size)[READER]
        started = list(_start(stack, database, home, token))
        _compare_answers(started, size)
        loads = _rounds(started, size, rounds, seconds)
    _report("B-1", _NO_AUTH, loads)
    _report("B-2", _DEFAULT, loads)
    _report("B-2", _CACHED, loads)


def _require_fast_loop() -> None:
    """Do not measure MLflow at its worst.

    Without uvloop, uvicorn's workers leave Nagle's algorithm on, and every answer of
    `mlflow server` waits 40 ms for an acknowledgement.
    """
    if not (find_spec("uvloop") and find_spec("httptools")):
        raise BenchError(
            "Install what MLflow is fast with: pip install uvloop httptools"
        )


def _start(
    stack: contextlib.ExitStack, database: str, home: Path, token: str
) -> Iterator[Server]:
    common.say("starting the servers")
    url = stack.enter_context(servers.greenlight(database, home))
    yield Server(_OURS, url, f"Bearer {token}")
    url = stack.enter_context(servers.mlflow(database, home, "no-auth"))
    yield Server(_NO_AUTH, url, "")
    password = secrets.token_urlsafe(18)
    basic = base64.b64encode(f"{servers.USER}:{password}".encode()).decode()
    for name, cache_seconds in {_DEFAULT: 0, _CACHED: 3600}.items():
        url = stack.enter_context(
            servers.basic_auth(database, home, password, cache_seconds)
        )
        yield Server(name, url, f"Basic {basic}")


def _compare_answers(started: list[Server], size: Size) -> None:
    """Make sure that all servers do the same work: they say the same of a model."""
    for model in random.sample(range(size.models), 5):
        name = size.name_of(model)
        answers = {server.name: _resolve(server, name) for server in started}
        if any(answer != answers[_OURS] for answer in answers.values()):
            raise BenchError(f"The servers disagree about {name}: {answers}")


def _resolve(server: Server, name: str) -> dict[str, object]:
    response = httpx.get(
        f"{server.url}/api/2.0/mlflow/registered-models/alias",
        params={"name": name, "alias": ALIAS},
        headers={"Authorization": server.authorization},
        timeout=60,
    )
    version = response.raise_for_status().json()["model_version"]
    # `model_id` is in no table of MLflow's; empty fields may be left out
    return {k: v for k, v in version.items() if v and k != "model_id"}


def _rounds(
    started: list[Server], size: Size, rounds: int, seconds: float
) -> dict[tuple[str, int], Load]:
    for server in started:
        _load(server, size, _CONNECTIONS[1], max(seconds, _WARM_UP_SECONDS))
    seen: dict[tuple[str, int], list[Load]] = {}
    for number in range(rounds):
        for connections in _CONNECTIONS:
            for server in started:
                if connections not in _connections_of(server.name):
                    continue
                load = _load(server, size, connections, seconds)
                seen.setdefault((server.name, connections), []).append(load)
                common.say(f"{number + 1}/{rounds} {connections} {server.name} {load}")
    return {key: common.median(loads) for key, loads in seen.items()}


def _connections_of(name: str) -> tuple[int, ...]:
    return _CONNECTIONS[:-1] if name == _SLOW else _CONNECTIONS


def _load(server: Server, size: Size, connections: int, seconds: float) -> Load:
    return common.wrk(
        server.url,
        _SCRIPT,
        connections=connections,
        seconds=seconds * (_PATIENCE if server.name == _SLOW else 1),
        arguments=(size.models, size.catalogs, size.schemas, server.authorization),
    )


def _report(bench: str, peer: str, loads: dict[tuple[str, int], Load]) -> None:
    for connections in _connections_of(peer):
        ours, theirs = loads[_OURS, connections], loads[peer, connections]
        common.report(
            bench=bench,
            connections=connections,
            peer=peer,
            ours=ours.rate,
            theirs=theirs.rate,
            ratio=ours.rate / theirs.rate,
            ours_p99_ms=ours.p99_ms,
            theirs_p99_ms=theirs.p99_ms,
        )


if __name__ == "__main__":
    main()
