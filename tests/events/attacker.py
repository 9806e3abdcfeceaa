"""What somebody with the rights of the tables' owner can do to the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from events.guards import GUARDED


@contextmanager
def without_triggers() -> Iterator[None]:
    """Take away what keeps the tables append-only, and put it back."""
    switch = _postgresql if connection.vendor == "postgresql" else _sqlite
    with switch():
        yield


@contextmanager
def _postgresql() -> Iterator[None]:
    _alter("DISABLE")
    try:
        yield
    finally:
        _alter("ENABLE")


def _alter(verb: str) -> None:
    with connection.cursor() as cursor:
        for table in GUARDED:
            # foreign keys that wait for the commit would forbid the ALTER
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f"ALTER TABLE {table} {verb} TRIGGER USER")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")


@contextmanager
def _sqlite() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
            " AND tbl_name LIKE 'events_%'"
        )
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for _, sql in triggers:
                cursor.execute(sql)
