"""The embedded broker: every message reaches exactly one consumer."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

from greenlight import transport

_SENDER = """
import sys
from kombu import Connection
from greenlight import transport

transport.register()
with Connection(sys.argv[1]) as connection:
    queue = connection.SimpleQueue("bells")
    for number in range(100):
        queue.put([sys.argv[2], number])
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"{transport.SCHEME}:///{tmp_path / 'broker.sqlite3'}"


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with Connection(url) as connection:
        yield connection


def test_messages_come_in_the_order_of_sending(connection: Connection) -> None:
    queue = connection.SimpleQueue("bells")
    for number in range(3):
        queue.put(number)

    assert [queue.get(timeout=2).payload for _ in range(3)] == [0, 1, 2]


def test_queues_are_apart(connection: Connection) -> None:
    connection.SimpleQueue("bells").put(1)

    with pytest.raises(Empty):
        connection.SimpleQueue("whistles").get(timeout=0.2)


def test_a_taken_message_leaves_nothing_behind(
    connection: Connection, tmp_path: Path
) -> None:
    queue = connection.SimpleQueue("bells")
    queue.put("once")
    queue.get(timeout=2).ack()

    with sqlite3.connect(tmp_path / "broker.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM message").fetchall() == [(0,)]
    database.close()


def test_purging_tells_how_many_messages_are_gone(connection: Connection) -> None:
    queue = connection.SimpleQueue("bells")
    queue.put(1)
    queue.put(2)

    assert (queue.qsize(), queue.clear(), queue.qsize()) == (2, 2, 0)


def test_processes_that_meet_an_empty_file_lose_and_double_nothing(url: str) -> None:
    senders = [
        subprocess.Popen([sys.executable, "-c", _SENDER, url, name]) for name in "ab"
    ]

    with ThreadPoolExecutor(2) as pool:
        received = [each for part in pool.map(_receive, [url] * 2) for each in part]

    assert [sender.wait() for sender in senders] == [0, 0]
    assert sorted(received) == [(name, n) for name in "ab" for n in range(100)]


def _receive(url: str) -> list[tuple[str, int]]:
    received: list[tuple[str, int]] = []
    with Connection(url) as connection:
        queue = connection.SimpleQueue("bells")
        try:
            while True:
                message = queue.get(timeout=10 if not received else 3)
                message.ack()
                received.append(tuple(message.payload))
        except Empty:
            return received
