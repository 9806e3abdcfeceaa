"""The servers that are measured, each with two workers on a port of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx

from bench import common

WORKERS = 2
ADMIN, USER = "admin", "plainuser"


def greenlight(database: str, home: Path) -> contextlib.AbstractContextManager[str]:
    """Serve the application as the stack does, but on a port: wrk wants one."""
    port = common.free_port()
    command = [str(common.BIN / "granian"), "--interface", "wsgi", "--port", str(port)]
    command += ["--workers", str(WORKERS), "--blocking-threads", "1"]
    command += ["--backlog", "2048", "--log-level", "warning"]
    return common.server(
        [*command, "greenlight.wsgi:application"],
        port=port,
        ready="/healthz",
        log=home / "greenlight.log",
        env={"GREENLIGHT_DATABASE_URL": database},
    )


def mlflow(
    database: str,
    home: Path,
    name: str,
    options: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> contextlib.AbstractContextManager[str]:
    port = common.free_port()
    command = [str(common.BIN / "mlflow"), "server", "--port", str(port)]
    command += ["--workers", str(WORKERS), "--artifacts-destination", str(home)]
    command += ["--backend-store-uri", database.replace("://", "+psycopg://")]
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return common.server(
        [*command, *options],
        port=port,
        ready="/health",
        log=home / f"{name}.log",
        env={**quiet, **(env or {})},
    )


@contextlib.contextmanager
def basic_auth(
    database: str,
    home: Path,
    password: str,
    cache_seconds: int,
    default: str = "READ",
    users: str = "",
) -> Iterator[str]:
    """Run MLflow with authentication; its users lie in the same database, or `users`."""
    config = home / f"auth-{cache_seconds}.ini"
    config.write_text(
        "[mlflow]\n"
        f"default_permission = {default}\n"
        f"database_uri = {users or database.replace('://', '+psycopg://')}\n"
        f"auth_cache_ttl_seconds = {cache_seconds}\n"
    )
    env = {
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": password,
    }
    options = ("--app-name", "basic-auth")
    with mlflow(database, home, config.stem, options, env) as url:
        if not cache_seconds:  # the first of the two creates the user for both
            create_user(url, password)
        yield url


def create_user(url: str, password: str) -> None:
    httpx.post(
        f"{url}/api/2.0/mlflow/users/create",
        json={"username": USER, "password": password},
        auth=(ADMIN, password),
        timeout=60,
    ).raise_for_status()
