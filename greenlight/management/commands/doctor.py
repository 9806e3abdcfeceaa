"""Check what a stack stands on, and say what to do about what is wrong."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import OperationalError

from core.errors import DomainError
from events.guards import unguarded_tables
from registry import artifacts
from serving import envoy


class UnhealthyError(Exception):
    """A check failed; the message says what to do."""


class Command(BaseCommand):
    """Exit with 0 when everything is well, with 1 when something is not."""

    help = __doc__ or ""
    requires_system_checks = []

    def handle(self, **_options: Any) -> None:
        healthy = [self._run(name, check) for name, check in CHECKS.items()]
        if not all(healthy):
            sys.exit(1)

    def _run(self, name: str, check: Callable[[], str]) -> bool:
        try:
            self.stdout.write(f"ok    {name}: {check()}")
        except UnhealthyError as problem:
            self.stdout.write(f"FAIL  {name}: {problem}")
            return False
        return True


def _database() -> str:
    try:
        executor = MigrationExecutor(connection)
    except DatabaseError as error:
        raise UnhealthyError(f"{error}; check GREENLIGHT_DATABASE_URL") from error
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise UnhealthyError("its tables are not up to date; run manage.py migrate")
    return f"{connection.vendor}, up to date"


def _audit_log() -> str:
    try:
        unguarded = unguarded_tables()
    except DatabaseError as error:
        raise UnhealthyError(f"{error}; check GREENLIGHT_DATABASE_URL") from error
    if unguarded:
        raise UnhealthyError(
            f"nothing keeps {', '.join(unguarded)} from being changed: a trigger is "
            "missing or switched off. Find out who did it, run manage.py verify-audit"
        )
    return "append-only"


def _broker() -> str:
    with current_app.connection_for_write(connect_timeout=4) as broker:
        try:
            broker.ensure_connection(max_retries=1, interval_start=0)
        except (OperationalError, sqlite3.Error, OSError) as error:
            raise UnhealthyError(f"{error}; check GREENLIGHT_BROKER_URL") from error
        return str(broker.as_uri())


def _envoy() -> str:
    program = envoy.command(settings.GATEWAY_DIR)[0]
    try:
        answer = subprocess.run(  # noqa: S603  # the operator's choice of program
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnhealthyError(f"{error}; check GREENLIGHT_ENVOY_BIN") from error
    return answer.stdout.split()[-1]


def _artifacts() -> str:
    try:
        for tree in (artifacts.store(), artifacts.tracking()):
            probe = tree.child(".doctor")
            with probe.writer("probe", 5) as writer:
                writer.write(b"probe")
            probe.remove()
    except (OSError, DomainError) as error:
        raise UnhealthyError(
            f"{error}; check GREENLIGHT_ARTIFACTS and GREENLIGHT_TRACKING_ARTIFACTS"
        ) from error
    return artifacts.store().location


def _keys() -> str:
    mode = stat.S_IMODE(os.stat(settings.KEYS_DIR).st_mode)
    if mode & 0o077:
        raise UnhealthyError(f"others may read it; run chmod 700 {settings.KEYS_DIR}")
    return str(settings.KEYS_DIR)


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "audit log": _audit_log,
    "broker": _broker,
    "envoy": _envoy,
    "artifacts": _artifacts,
    "keys": _keys,
}
