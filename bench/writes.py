"""B-4 and B-5: registering versions, against `mlflow server` without authentication.

    python -m bench.writes [--quick]

Both servers have two workers and a PostgreSQL database of their own, and are loaded
in turn. B-4: eight writers create versions of four models and move an alias to each;
every number must be there once. B-5: the stock client registers a tiny model, and
loads it by its alias. Greenlight copies and hashes the bytes, checks the model, and
writes the audit in the same requests.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench import common, servers
from bench.common import BenchError

_NAMESPACE = "bench.writes"
_MODELS, _WRITERS = 4, 8
_CLIENT_SECONDS = 300.0
_PEER = "mlflow server (no auth)"
_CLIENT = Path(__file__).with_name("client.py")
_MLMODEL = b"""flavors: {python_function: {loader_module: mlflow.sklearn, data: model}}
signature: {inputs: '[{"type": "double"}]', outputs: '[{"type": "double"}]'}
"""


@dataclass
class Server:
    """A running server, the source of its versions, and what was measured."""

    name: str
    url: str
    token: str
    source: dict[str, str] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    numbers: dict[str, list[int]] = field(default_factory=dict)
    register_ms: list[float] = field(default_factory=list)
    load_ms: list[float] = field(default_factory=list)

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(
            base_url=f"{self.url}/api/2.0", headers=headers, timeout=120
        )


def main() -> None:
    """Measure, and print a line of JSON per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer versions")
    quick = parser.parse_args().quick
    try:
        if quick:
            measure(rounds=3, pairs=5, clients=1)
        else:
            measure(rounds=5, pairs=40, clients=5)
    except BenchError as problem:
        sys.exit(str(problem))


def measure(rounds: int, pairs: int, clients: int) -> None:
    """Run the rounds against both servers, and report B-4 and B-5.

    In the first `clients` rounds the stock client runs, too: it takes longer to
    start than to be measured.
    """
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        both = [stack.enter_context(start(home)) for start in (_greenlight, _mlflow)]
        for server in both:
            _prepare(server)
            _begin(server)
            _write(server, 2)  # warms up; counted among the numbers, not the rates
        for number in range(rounds):
            for server in both:
                server.rates.append(_write(server, pairs))
                if number < clients:
                    _run_client(server)
            common.say(f"{number + 1}/{rounds}")
    for server in both:
        _check_numbers(server)
    _report(*both)


def _begin(server: Server) -> None:
    """Set every alias once, one after the other.

    Where two writers set a new alias at a time, MLflow refuses one of them with 400.
    """
    for writer in range(_MODELS):
        for name, number in _write_pairs(server, writer, 1):
            server.numbers.setdefault(name, []).append(number)


def _write(server: Server, pairs: int) -> float:
    """Let all writers create versions and set the alias; return pairs per second."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(_WRITERS) as pool:
        for made in pool.map(
            lambda writer: _write_pairs(server, writer, pairs), range(_WRITERS)
        ):
            for name, number in made:
                server.numbers.setdefault(name, []).append(number)
    return _WRITERS * pairs / (time.perf_counter() - begun)


def _write_pairs(server: Server, writer: int, pairs: int) -> list[tuple[str, int]]:
    name = f"{_NAMESPACE}.model{writer % _MODELS}"
    made = []
    with server.client() as client:
        for pair in range(pairs):
            # a tag of its own, or Greenlight takes it for the same request sent again
            tags = [{"key": "pair", "value": f"{writer}-{pair}-{time.time_ns()}"}]
            body = {"name": name, "tags": tags, **server.source}
            version = _post(client, "model-versions/create", body)["model_version"]
            if version["status"] != "READY":
                raise BenchError(f"The version is not READY: {version}")
            moved = {
                "name": name,
                "alias": "latest-good",
                "version": version["version"],
            }
            _post(client, "registered-models/alias", moved)
            made.append((name, int(version["version"])))
    return made


def _check_numbers(server: Server) -> None:
    for name, numbers in server.numbers.items():
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            raise BenchError(f"{server.name} lost or doubled numbers of {name}.")


def _run_client(server: Server) -> None:
    env = {**os.environ, "MLFLOW_TRACKING_URI": server.url}
    env["MLFLOW_DISABLE_TELEMETRY"] = "true"
    env["MLFLOW_TRACKING_TOKEN"] = server.token or "none"
    command = [sys.executable, str(_CLIENT), f"{_NAMESPACE}.client"]
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=_CLIENT_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"The client hangs at {server.name}: {error}.") from error
    if done.returncode:
        raise BenchError(f"The client failed at {server.name}: {done.stderr[-2000:]}")
    seen = json.loads(done.stdout.splitlines()[-1])
    server.register_ms += seen["register_ms"]
    server.load_ms += seen["load_ms"]


def _report(ours: Server, theirs: Server) -> None:
    mine, other = (statistics.median(server.rates) for server in (ours, theirs))
    common.report(
        bench="B-4",
        work=f"version and alias, {_WRITERS} writers, pairs/s",
        peer=_PEER,
        ours=mine,
        theirs=other,
        ratio=mine / other,
        errors=0,
    )
    for work in ("register_ms", "load_ms"):
        mine, other = (statistics.median(getattr(s, work)) for s in (ours, theirs))
        common.report(
            bench="B-5", work=work, peer=_PEER, ours=mine, theirs=other,
            ratio=mine / other,
        )  # fmt: skip
    mine, other = (
        statistics.median(s.register_ms) + statistics.median(s.load_ms)
        for s in (ours, theirs)
    )
    common.report(
        bench="B-5", work="register and load, ms", peer=_PEER, ours=mine,
        theirs=other, ratio=mine / other,
    )  # fmt: skip


@contextlib.contextmanager
def _greenlight(home: Path) -> Iterator[Server]:
    os.environ["GREENLIGHT_HOME"] = str(home / "greenlight")
    with common.postgresql_database(f"greenlight_writes_{os.getpid()}") as database:
        bootstrap = ["manage.py", "bootstrap", "--json", "--namespace", _NAMESPACE]
        made = subprocess.run(
            [sys.executable, *bootstrap],
            env={**os.environ, "GREENLIGHT_DATABASE_URL": database},
            cwd=common.ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        token = json.loads(made.stdout.splitlines()[-1])["token"]
        with servers.greenlight(database, home) as url:
            yield Server("greenlight", url, token)


@contextlib.contextmanager
def _mlflow(home: Path) -> Iterator[Server]:
    with (
        common.postgresql_database(f"mlflow_writes_{os.getpid()}") as database,
        servers.mlflow(database, home, "writes") as url,
    ):
        yield Server(_PEER, url, "")


def _prepare(server: Server) -> None:
    """Make the models, and a run with the files of a tiny model to register from."""
    with server.client() as client:
        for number in range(_MODELS):
            name = f"{_NAMESPACE}.model{number}"
            _post(client, "registered-models/create", {"name": name})
        made = _post(client, "experiments/create", {"name": "writes"})
        body = {"experiment_id": made["experiment_id"]}
        info = _post(client, "runs/create", body)["run"]["info"]
        place = f"{info['experiment_id']}/{info['run_id']}/artifacts/model"
        for path, content in (("MLmodel", _MLMODEL), ("model", b"1" * 1000)):
            client.put(
                f"/mlflow-artifacts/artifacts/{place}/{path}", content=content
            ).raise_for_status()
        server.source = {
            "source": f"mlflow-artifacts:/{place}",
            "run_id": info["run_id"],
        }


def _post(client: httpx.Client, method: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(f"/mlflow/{method}", json=body)
    if answer.status_code != 200:
        raise BenchError(f"{method} answered {answer.status_code}: {answer.text[:500]}")
    result: dict[str, Any] = answer.json()
    return result


if __name__ == "__main__":
    main()
