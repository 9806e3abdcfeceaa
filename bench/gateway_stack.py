"""The installation that bench/gateway.py measures: real rows, agent and Envoy.

In the place of the model servers stand Envoys that answer every path at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import common
from bench.common import BenchError

_UPSTREAM = Path(__file__).with_name("upstream.py")
PATIENCE_SECONDS = 60.0
LOAD_CORE, PROXY_CORE = 0, 1
BOTH = "both"


@dataclass(frozen=True)
class Proxy:
    """An Envoy that listens on a port."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used so far."""
        text = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2]
        user, system = map(int, text.split()[11:13])
        return (user + system) / os.sysconf("SC_CLK_TCK")


@dataclass
class Stack:
    """An endpoint with two versions behind the real gateway, steered by a real agent."""

    home: Path
    port: int
    proxy: Proxy
    path: str
    token: str
    endpoint: Any
    versions: tuple[Any, Any]


@contextlib.contextmanager
def installation() -> Iterator[Stack]:
    with contextlib.ExitStack() as cleanup:
        place = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
        home, port = Path(cleanup.enter_context(place)), common.free_port()
        os.environ["GREENLIGHT_HOME"] = str(home)
        os.environ["GREENLIGHT_PORT"] = str(port)
        os.environ["DJANGO_SETTINGS_MODULE"] = "greenlight.settings"
        os.environ["GREENLIGHT_LOG_LEVEL"] = "WARNING"
        os.chdir(home)
        common.say("preparing a registry")
        stack = _seed(home, port)
        command = _gateway_command(home, port)
        for server in stack.endpoint.servers.all():
            cleanup.enter_context(_upstream(home, server))
        pid = cleanup.enter_context(_process(home, "gateway", command, PROXY_CORE))
        stack.proxy = Proxy(port, pid)
        manage = [sys.executable, str(common.ROOT / "manage.py"), "agent"]
        cleanup.enter_context(_process(home, "agent", manage, None))
        _wait_for_port(port)
        _wait_until_shown(stack)
        yield stack


def _seed(home: Path, port: int) -> Stack:
    """Make an endpoint with two versions, both wanted, through the services."""
    import django

    django.setup()
    from django.core.management import call_command

    from access.models import User
    from registry import services as registry
    from serving import services as serving
    from serving.services import traffic
    from serving.tokens import issue_serving_token

    call_command("migrate", verbosity=0)
    owner = User.objects.create_superuser("bench")
    registry.create_catalog("bench", principal=owner)
    registry.create_schema("bench.gateway", principal=owner)
    model = registry.create_model("bench.gateway.model", principal=owner)
    name = "bench.gateway.live"
    endpoint = serving.create_endpoint(name, model, "Champion", principal=owner)
    versions = [_register(home / f"source-{i}", model, owner) for i in (1, 2)]
    for version in versions:
        traffic.want_server(endpoint, version)
    stack = Stack(
        home=home,
        port=port,
        proxy=Proxy(port, 0),
        path=f"/serving/{name}/ping",
        token=issue_serving_token(owner).token,
        endpoint=endpoint,
        versions=(versions[0], versions[1]),
    )
    set_weights(stack, 0)
    return stack


def _register(directory: Path, model: Any, owner: Any) -> Any:
    from registry import services as registry

    directory.mkdir()
    flavor = (
        "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    env: {}\n"
    )
    (directory / "MLmodel").write_text(flavor)
    (directory / "weights").write_text(directory.name)
    return registry.create_version_from_directory(model, directory, principal=owner)


def _gateway_command(home: Path, port: int) -> list[str]:
    from serving import envoy

    envoy.write_bootstrap(home / "gateway", port)
    return [*envoy.command(home / "gateway"), "--concurrency", "1"]


@contextlib.contextmanager
def _upstream(home: Path, server: Any) -> Iterator[None]:
    """Run a fast answerer in the place of a model server; the agent takes it over."""
    from serving.servers import local

    path = local.socket_of(server.pk)
    answer = {"status": 200, "body": {"inline_string": "ok"}}
    route = {"match": {"prefix": "/"}, "direct_response": answer}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network"
        ".http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "up",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]
        },
        "http_filters": [_router()],
    }
    listeners = [_listener(manager, {"pipe": {"path": path}})]
    name = f"upstream-{server.version.number}"
    with _envoy(
        home, name, {"static_resources": {"listeners": listeners}}, LOAD_CORE, path
    ):
        until = time.monotonic() + PATIENCE_SECONDS
        while not (home / path).exists():
            _check(until, name)
        yield


@contextlib.contextmanager
def _envoy(
    home: Path, name: str, config: dict[str, Any], core: int, uds: str = ""
) -> Iterator[int]:
    from serving import envoy

    path = home / f"{name}.json"
    path.write_text(json.dumps(config))
    command = [envoy.command(home)[0], "-c", str(path), "--concurrency", "1"]
    command += ["--disable-hot-restart", "-l", "error"]
    if uds:
        command = [sys.executable, str(_UPSTREAM), "--uds", uds, *command]
    with _process(home, name, command, core) as pid:
        yield pid


def _router() -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    return {"name": "envoy.filters.http.router", "typed_config": {"@type": kind}}


def _listener(manager: dict[str, Any], address: dict[str, Any]) -> dict[str, Any]:
    name = "envoy.filters.network.http_connection_manager"
    chain = {"filters": [{"name": name, "typed_config": manager}]}
    return {"name": "in", "address": address, "filter_chains": [chain]}


def _local(port: int) -> dict[str, Any]:
    return {"address": "127.0.0.1", "port_value": port}


@contextlib.contextmanager
def _process(
    home: Path, name: str, command: list[str], core: int | None
) -> Iterator[int]:
    """Run a process in the home, on one core or on all."""
    cores = f"0-{(os.cpu_count() or 1) - 1}" if core is None else str(core)
    if (os.cpu_count() or 1) > 1:
        command = ["taskset", "-c", cores, *command]
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=home, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def _wait_for_port(port: int) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        _check(until, f"port {port}")


def _wait_until_shown(stack: Stack) -> None:
    """Wait until Envoy has the endpoint as it is wanted, with both servers healthy."""
    from serving.models import GatewayStatus

    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        stack.endpoint.refresh_from_db()
        shown = GatewayStatus.objects.first()
        generation = shown.generations.get(str(stack.endpoint.pk)) if shown else None
        healthy = stack.endpoint.servers.filter(status="healthy").count()
        if healthy == 2 and generation == stack.endpoint.generation:
            return
        _check(until, "the endpoint")


def _check(until: float, what: str) -> None:
    if time.monotonic() > until:
        raise BenchError(f"{what} is not ready after {PATIENCE_SECONDS:g} s")
    time.sleep(0.05)


def set_weights(stack: Stack, second: int) -> None:
    from django.db import transaction

    from serving.services import traffic

    one, two = stack.versions
    with transaction.atomic():
        traffic.write_weights(stack.endpoint, {one.pk: 10_000 - second, two.pk: second})


def clusters(stack: Stack) -> list[dict[str, Any]]:
    """Return a cluster for each version."""
    from serving.servers import local
    from serving.xds.routes import local_cluster

    rows = stack.endpoint.servers.order_by("created_at")
    return [local_cluster(row.cluster, local.socket_of(row.pk), {}) for row in rows]


def _both(apart: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one cluster of all hosts, so that every proxy has the same upstreams."""
    hosts = [
        host
        for cluster in apart
        for host in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    load = {"cluster_name": BOTH, "endpoints": [{"lb_endpoints": hosts}]}
    return {**apart[0], "name": BOTH, "load_assignment": load}


@contextlib.contextmanager
def bare(stack: Stack, name: str, route: Any) -> Iterator[Proxy]:
    """Run an Envoy with nothing but one route."""
    port = common.free_port()
    prefix = stack.path.rsplit("/", 1)[0] + "/"
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network"
        ".http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": prefix}, "route": route(stack)}],
                }
            ]
        },
        "http_filters": [_router()],
    }
    config = {
        "static_resources": {
            "listeners": [_listener(manager, {"socket_address": _local(port)})],
            "clusters": [*clusters(stack), _both(clusters(stack))],
        }
    }
    with _envoy(stack.home, name, config, PROXY_CORE) as pid:
        _wait_for_port(port)
        yield Proxy(port, pid)
