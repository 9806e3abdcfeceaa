"""B-10: webhooks, against MLflow's own.

    python -m bench.webhooks [--quick]

Both servers have two workers and a PostgreSQL database of their own, and are asked the
same: set a tag of a version, which each tells its webhooks of. Greenlight runs one
Celery worker besides, on Redis and then on the embedded broker; it looks up a token,
checks rights and writes the audit in the same requests.

Measured: how long after the commit a message arrives; how many arrive a second while
eight writers write; how the nineteen others fare when one of twenty receivers never
answers; and what is lost when all of it is killed with kill -9 while the receiver is
down, and both are up again. A figure of MLflow's is that of the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
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
import psycopg
from cryptography.fernet import Fernet

from bench import common
from bench.common import BenchError

_MODEL, _WRITERS, _RECEIVERS = "bench.hooks.model", 8, 20
_PEER = "mlflow server (its webhooks)"
_REDIS = os.environ.get("GREENLIGHT_BENCH_REDIS", "redis://127.0.0.1:6379/15")
_MLMODEL = b"""flavors: {python_function: {loader_module: mlflow.sklearn, data: model}}
signature: {inputs: '[{"type": "double"}]', outputs: '[{"type": "double"}]'}
"""


@dataclass(frozen=True)
class Size:
    """How many messages of each kind, and how long to wait for the last ones."""

    single: int
    burst: int
    among: int
    killed: int
    wait_seconds: float


_FULL = Size(single=100, burst=2000, among=80, killed=24, wait_seconds=60)
_QUICK = Size(single=20, burst=400, among=20, killed=3, wait_seconds=10)
# What is late is not lost: our third try comes after 36 s, the fourth two minutes
# later. MLflow keeps nothing that it could send after its end, so it is not waited for
# as long.
_PATIENCE_SECONDS = 240.0


@dataclass
class Server:
    """Processes that can be killed and started again, and what was measured."""

    name: str
    home: Path
    commands: list[list[str]]
    env: dict[str, str]
    port: int
    token: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        with (self.home / f"{self.name.split()[0]}.log").open("ab") as log:
            self.processes = [
                subprocess.Popen(
                    command,
                    cwd=common.ROOT,
                    env={**os.environ, **self.env},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                for command in self.commands
            ]
        wait_for(self._answers, 120, f"{self.name} does not start; see {log.name}")

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{self.port}/version"
            return httpx.get(url, timeout=5).status_code < 500
        return False

    def kill(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        url = f"http://127.0.0.1:{self.port}/api"
        return httpx.Client(base_url=url, headers=headers, timeout=60)

    def subscribe(self, ports: list[int]) -> None:
        """Make a webhook per receiver."""
        with self.client() as client:
            for port in ports:
                url = f"http://127.0.0.1:{port}/"
                path, body = "/v1/webhooks", {"url": url, "event_types": ["tag.set"]}
                if not self.token:
                    path = "/2.0/mlflow/webhooks"
                    event = {"entity": "MODEL_VERSION_TAG", "action": "SET"}
                    body = {"name": f"to-{port}", "url": url, "events": [event]}
                    body["secret"] = secrets.token_hex(16)
                post(client, path, body)


@dataclass
class Receivers:
    """The other side: twenty receivers, of which the last never answers."""

    log: Path
    ports: list[int]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        *ports, slow = self.ports
        names = [str(port) for port in ports] + [f"slow:{slow}"]
        script = str(common.ROOT / "bench" / "receiver.py")
        self.process = subprocess.Popen([sys.executable, script, str(self.log), *names])
        wait_for(self._listen, 30, "the receivers do not start")

    def _listen(self) -> bool:
        with contextlib.suppress(OSError):
            probe = f"http://127.0.0.1:{self.ports[0]}/"
            body = {"timestamp": "2026-01-01T00:00:00+00:00", "data": {"value": "-"}}
            with contextlib.suppress(httpx.HTTPError):
                return httpx.post(probe, json=body, timeout=5).status_code == 200
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def arrived(self) -> dict[tuple[int, str], tuple[float, float]]:
        """Return when a message was sent and first received, by port and value."""
        found: dict[tuple[int, str], tuple[float, float]] = {}
        for line in self.log.read_text().splitlines():
            port, value, sent_at, received_at = line.split()
            found.setdefault((int(port), value), (float(sent_at), float(received_at)))
        return found


def main() -> None:
    """Measure, and print a line of JSON per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer messages")
    quick = parser.parse_args().quick
    try:
        measure(_QUICK if quick else _FULL)
    except BenchError as problem:
        sys.exit(str(problem))


def measure(size: Size) -> None:
    """Measure MLflow, Greenlight on Redis and Greenlight on its own broker."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        theirs = stack.enter_context(_mlflow(home))
        ours = stack.enter_context(_greenlight(home))
        for server in (theirs, *ours):
            _measure_one(server, home, size)
    for server in ours:
        _report(server, theirs)


def _measure_one(server: Server, home: Path, size: Size) -> None:
    ports = [common.free_port() for _ in range(_RECEIVERS)]
    receivers = Receivers(home / f"{server.name.split()[-1]}.arrived", ports)
    receivers.start()
    server.start()
    try:
        _make_version(server)
        server.subscribe(ports[:1])
        _send(server, receivers, "warm", 10, writers=1, pause=0.05)
        common.say(f"{server.name}: one by one")
        _latency(server, receivers, size)
        common.say(f"{server.name}: eight writers")
        _rate(server, receivers, size)
        common.say(f"{server.name}: kill -9")
        _loss(server, receivers, size)
        common.say(f"{server.name}: one of twenty never answers")
        server.subscribe(ports[1:])
        _among(server, receivers, size)
    finally:
        server.kill()
        receivers.stop()


def _latency(server: Server, receivers: Receivers, size: Size) -> None:
    values = _send(server, receivers, "one", size.single, writers=1, pause=0.1)
    took = _times(receivers, receivers.ports[:1], values)
    if len(took) < len(values):
        raise BenchError(f"{server.name} lost {len(values) - len(took)} messages.")
    server.seen["p50_ms"] = statistics.median(took)
    server.seen["p99_ms"] = took[int(len(took) * 0.99)]


def _rate(server: Server, receivers: Receivers, size: Size) -> None:
    begun = time.time()
    values = _send(server, receivers, "many", size.burst, writers=_WRITERS)
    found = receivers.arrived()
    last = max(found[receivers.ports[0], value][1] for value in values)
    server.seen["rate"] = len(values) / (last - begun)


def _loss(server: Server, receivers: Receivers, size: Size) -> None:
    receivers.stop()
    values = _send(server, receivers, "kill", size.killed, writers=1, wait=0.0)
    server.kill()
    receivers.start()
    server.start()
    patience = _PATIENCE_SECONDS if server.token else size.wait_seconds
    begun = time.monotonic()
    found = _wait_for_values(receivers, receivers.ports[:1], values, patience)
    server.seen["lost"] = len(values) - found
    common.say(f"{server.name}: {found} in {time.monotonic() - begun:.0f} s")


def _among(server: Server, receivers: Receivers, size: Size) -> None:
    healthy = receivers.ports[:-1]
    values = _send(server, receivers, "dead", size.among, writers=1, pause=0.1, wait=0)
    _wait_for_values(receivers, healthy, values, size.wait_seconds)
    took = _times(receivers, healthy, values)
    owed = len(values) * len(healthy)
    # what has not come yet took longer than all that has
    took += [float("inf")] * (owed - len(took))
    server.seen["healthy_p95_ms"] = took[int(owed * 0.95)]
    server.seen["healthy_late"] = took.count(float("inf"))


def _send(
    server: Server,
    receivers: Receivers,
    name: str,
    count: int,
    *,
    writers: int,
    pause: float = 0.0,
    wait: float = 60.0,  # for the receiver to have all of them
) -> list[str]:
    """Set so many tags, and wait until the first receiver has them all."""
    values = [f"{name}-{number}" for number in range(count)]

    def write(mine: list[str]) -> None:
        with server.client() as client:
            for value in mine:
                body = {"name": _MODEL, "version": "1", "key": "k", "value": value}
                post(client, "/2.0/mlflow/model-versions/set-tag", body)
                time.sleep(pause)

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, [values[start::writers] for start in range(writers)]))
    if wait:
        found = _wait_for_values(receivers, receivers.ports[:1], values, wait)
        if found < count:
            # nothing is down here: a server that loses these is not set up as it should
            raise BenchError(f"{server.name} lost {count - found} of {count} messages.")
    return values


def _wait_for_values(
    receivers: Receivers, ports: list[int], values: list[str], seconds: float
) -> int:
    """Wait until every receiver has every value; return how many arrived."""
    wanted = {(port, value) for port in ports for value in values}
    deadline = time.monotonic() + seconds
    while True:
        found = len(wanted & receivers.arrived().keys())
        if found == len(wanted) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _times(receivers: Receivers, ports: list[int], values: list[str]) -> list[float]:
    """Return the milliseconds from the commit to the arrival, sorted."""
    found = receivers.arrived()
    wanted = [(port, value) for port in ports for value in values]
    both = [found[one] for one in wanted if one in found]
    return sorted((received - sent) * 1000 for sent, received in both)


def _report(ours: Server, theirs: Server) -> None:
    works = {
        "p50_ms": "commit → received, p50, ms",
        "p99_ms": "commit → received, p99, ms",
        "rate": f"{_WRITERS} writers, messages/s",
        "healthy_p95_ms": f"p95 of {_RECEIVERS - 1} beside a dead receiver, ms",
        "healthy_late": f"not there in time, of {_RECEIVERS - 1} beside a dead one",
        "lost": "lost after kill -9 while the receiver was down",
    }
    for key, work in works.items():
        mine, other = ours.seen[key], theirs.seen[key]
        ratio = mine / other if other and max(mine, other) < float("inf") else None
        figures = {"ours": _plain(mine), "theirs": _plain(other), "ratio": ratio}
        common.report(
            bench="B-10", work=work, broker=ours.name.split()[-1], peer=_PEER, **figures
        )


def _plain(figure: float) -> float | str:
    return "never" if figure == float("inf") else figure


# --- the servers --------------------------------------------------------------


@contextlib.contextmanager
def _greenlight(home: Path) -> Iterator[list[Server]]:
    """Yield a server per broker, each with a copy of one bootstrapped database."""
    own, name = home / "greenlight", f"greenlight_hooks_{os.getpid()}"
    own.mkdir()
    env = {
        "GREENLIGHT_HOME": str(own),
        "GREENLIGHT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "GREENLIGHT_LOG_LEVEL": "WARNING",
    }
    with common.postgresql_database(name) as empty:
        namespace = _MODEL.rpartition(".")[0]
        bootstrap = ["manage.py", "bootstrap", "--json", "--namespace", namespace]
        made = subprocess.run(
            [sys.executable, *bootstrap],
            env={**os.environ, **env, "GREENLIGHT_DATABASE_URL": empty},
            cwd=common.ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        token = json.loads(made.stdout.splitlines()[-1])["token"]
        with contextlib.ExitStack() as stack:
            yield [
                _server(broker, url, own, env, token, stack.enter_context(_copy(name)))
                for broker, url in (("redis", _REDIS), ("embedded", ""))
            ]


@contextlib.contextmanager
def _copy(template: str) -> Iterator[str]:
    """Yield the URL of a copy of a database, and drop it at the end."""
    name = f"{template}_{secrets.token_hex(3)}"
    address = f"{common.POSTGRESQL}/postgres"
    with psycopg.connect(address, autocommit=True) as postgresql:
        create = f'CREATE DATABASE "{name}" TEMPLATE "{template}"'
        postgresql.execute(create.encode())
        try:
            yield f"{common.POSTGRESQL}/{name}"
        finally:
            postgresql.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _server(
    broker: str, url: str, home: Path, env: dict[str, str], token: str, database: str
) -> Server:
    port = common.free_port()
    granian = [str(common.BIN / "granian"), "--interface", "wsgi", "--workers", "2"]
    granian += ["--blocking-threads", "1", "--log-level", "warning", "--port"]
    celery = [sys.executable, "-m", "celery", "-A", "greenlight", "worker"]
    celery += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    env = {
        **env,
        "GREENLIGHT_DATABASE_URL": database,
        "GREENLIGHT_QUEUE": database.rpartition("/")[2],
        **({"GREENLIGHT_BROKER_URL": url} if url else {}),
    }
    web = [*granian, str(port), "greenlight.wsgi:application"]
    return Server(f"greenlight on {broker}", home, [web, celery], env, port, token)


@contextlib.contextmanager
def _mlflow(home: Path) -> Iterator[Server]:
    port = common.free_port()
    with common.postgresql_database(f"mlflow_hooks_{os.getpid()}") as database:
        command = [str(common.BIN / "mlflow"), "server", "--port", str(port)]
        command += ["--workers", "2", "--artifacts-destination", str(home / "mlflow")]
        command += ["--backend-store-uri", database.replace("://", "+psycopg://")]
        env = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            # without one each of its processes makes its own, and cannot read the
            # secrets that another one wrote: half of its messages would be missing
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
            # a webhook that is made after the first event is found by the next one
            "MLFLOW_WEBHOOK_CACHE_TTL": "1",
        }
        yield Server("mlflow", home, [command], env, port)


def _make_version(server: Server) -> None:
    with server.client() as client:
        post(client, "/2.0/mlflow/registered-models/create", {"name": _MODEL})
        experiment = {"name": "hooks"}
        made = post(client, "/2.0/mlflow/experiments/create", experiment)
        info = post(client, "/2.0/mlflow/runs/create", made)["run"]["info"]
        place = f"{info['experiment_id']}/{info['run_id']}/artifacts/model"
        for path, content in (("MLmodel", _MLMODEL), ("model", b"1" * 1000)):
            artifact = f"/2.0/mlflow-artifacts/artifacts/{place}/{path}"
            client.put(artifact, content=content).raise_for_status()
        body = {"name": _MODEL, "source": f"mlflow-artifacts:/{place}"}
        body["run_id"] = info["run_id"]
        post(client, "/2.0/mlflow/model-versions/create", body)


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST JSON, and return the answer. Raises BenchError for a refusal."""
    answer = client.post(path, json=body)
    if answer.status_code not in {200, 201}:
        raise BenchError(f"{path} answered {answer.status_code}: {answer.text[:500]}")
    result: dict[str, Any] = answer.json()
    return result


def wait_for(condition: Any, seconds: float, problem: str) -> None:
    """Wait until a condition holds. Raises BenchError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(problem)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
