"""The embedded broker: Celery's queues as rows of one SQLite file.

`greenlight-sqlite:///absolute/path`. kombu's own SQL transport would do, but it
polls once a second with no option to change that, keeps every message that was
taken, and two processes that meet an empty file trip over each other's tables.
"""

from __future__ import annotations

import json
import sqlite3
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, virtual

SCHEME = "greenlight-sqlite"
_TABLE = """
    CREATE TABLE IF NOT EXISTS message (
        id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, payload TEXT NOT NULL
    )
"""
_TAKE_OLDEST = """
    DELETE FROM message
    WHERE id = (SELECT id FROM message WHERE queue = ? ORDER BY id LIMIT 1)
    RETURNING payload
"""


class Channel(virtual.Channel):
    """Rows with the name of a queue; SQLite's write lock makes taking exclusive."""

    _database: sqlite3.Connection | None = None

    def _execute(self, statement: str, *values: str) -> list[Any]:
        if self._database is None:
            self._database = _connect(self.connection.client.hostname)
        return self._database.execute(statement, values).fetchall()

    def _put(self, queue: str, message: dict[str, Any], **_options: Any) -> None:
        text = json.dumps(message)
        self._execute("INSERT INTO message (queue, payload) VALUES (?, ?)", queue, text)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for (payload,) in self._execute(_TAKE_OLDEST, queue):
            return json.loads(payload)
        raise Empty

    def _size(self, queue: str) -> int:
        [(size,)] = self._execute("SELECT count(*) FROM message WHERE queue = ?", queue)
        return int(size)

    def _purge(self, queue: str) -> int:
        size = self._size(queue)
        self._execute("DELETE FROM message WHERE queue = ?", queue)
        return size

    def close(self) -> None:
        super().close()
        if self._database is not None:
            self._database.close()
            self._database = None


class Transport(virtual.Transport):
    """A virtual transport that looks for messages ten times a second."""

    Channel = Channel
    polling_interval = 0.1
    can_parse_url = True
    driver_type = "sql"
    driver_name = "sqlite3"
    connection_errors = (*virtual.Transport.connection_errors, sqlite3.OperationalError)

    def driver_version(self) -> str:
        return sqlite3.sqlite_version


def register() -> None:
    """Teach kombu the scheme."""
    TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"


def _connect(url: str) -> sqlite3.Connection:
    path = url.removeprefix(f"{SCHEME}:///")
    # kombu hands a channel from thread to thread, but never to two at once
    database = sqlite3.connect(
        path, timeout=20, isolation_level=None, check_same_thread=False
    )
    database.execute("PRAGMA journal_mode=WAL")
    # a power cut may lose the last messages; the sweeps ring again
    database.execute("PRAGMA synchronous=NORMAL")
    database.execute(_TABLE)
    return database
