"""A real worker is killed in mid-delivery: every event arrives, under its own id."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.stack import empty_database
from tests.faults.test_worker_killed import Stack, wait

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

SUBSCRIBE = """
import os, django
django.setup()
from access.models import User
from webhooks import services

admin = User.objects.get(is_superuser=True)
services.create_webhook(os.environ["RECEIVER"], ["catalog.*"], principal=admin)
"""
EMIT = """
import os, django
django.setup()
from access.models import User
from registry import services as registry

admin = User.objects.get(is_superuser=True)
for number in range(int(os.environ["EVENTS"])):
    registry.create_catalog(f"c{os.getpid()}_{number}", principal=admin)
"""


class Receiver(ThreadingHTTPServer):
    """Writes down the id of every request, and answers when the gate is open."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.ids: list[str] = []
        self.answered = 0
        self.gate = threading.Event()
        self.gate.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.ids.append(self.headers["webhook-id"])
        self.server.gate.wait(60)
        try:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()
            self.wfile.flush()
        except OSError:
            return  # the worker that asked is dead
        self.server.answered += 1

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
        receiver.gate.set()
        receiver.shutdown()


@pytest.fixture
def stack(tmp_path: Path, receiver: Receiver) -> Stack:
    stack = Stack(tmp_path)
    stack.environ |= {
        "RECEIVER": f"http://127.0.0.1:{receiver.server_address[1]}/",
        "GREENLIGHT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    stack.home.mkdir()
    shutil.copy(empty_database(), stack.home / "greenlight.sqlite3")
    stack.run("manage.py", "bootstrap")
    stack.run("-c", SUBSCRIBE)
    return stack


def emit(stack: Stack, count: int) -> None:
    stack.environ["EVENTS"] = str(count)
    stack.run("-c", EMIT)


def end_leases(stack: Stack) -> None:
    """Let the time pass in which the dead worker might still have been alive."""
    _execute(
        stack,
        "UPDATE webhooks_delivery SET lease_until = '2000-01-01 00:00:00'"
        " WHERE lease_until IS NOT NULL",
    )


def _execute(stack: Stack, statement: str) -> None:
    path = stack.home / "greenlight.sqlite3"
    with closing(sqlite3.connect(path, timeout=20)) as database, database:
        database.execute(statement)


def assert_all_arrived(stack: Stack, receiver: Receiver, count: int) -> None:
    done = "SELECT count(*) FROM webhooks_delivery WHERE status = 'delivered'"
    wait(lambda: stack.ask(done) == [count])
    events = "SELECT id FROM events_event WHERE type = 'catalog.created'"
    owed = stack.ask(events)
    assert {one.replace("-", "") for one in receiver.ids} == set(owed)
    assert len(owed) == count
    assert stack.ask("SELECT count(*) FROM webhooks_delivery") == [count]


def test_what_a_killed_worker_had_in_flight_is_sent_by_the_next(
    stack: Stack, receiver: Receiver
) -> None:
    receiver.gate.clear()
    emit(stack, 40)
    with stack.worker() as first:
        wait(lambda: receiver.ids)  # the request is there, and not answered
        first.kill()
        first.wait()
    receiver.gate.set()
    assert stack.ask("SELECT count(*) FROM webhooks_attempt") == [0]
    end_leases(stack)

    with stack.worker():
        assert_all_arrived(stack, receiver, 40)

    in_flight = receiver.ids[0]
    assert receiver.ids.count(in_flight) == 2  # twice, under the same id


def test_answer_that_a_killed_worker_did_not_record_is_asked_for_again(
    stack: Stack, receiver: Receiver
) -> None:
    receiver.gate.clear()
    emit(stack, 3)
    with stack.worker() as first:
        wait(lambda: receiver.ids)
        with _nobody_writes(stack):
            receiver.gate.set()
            wait(lambda: receiver.answered)
            first.kill()
            first.wait()
    assert stack.ask("SELECT count(*) FROM webhooks_attempt") == [0]
    end_leases(stack)

    with stack.worker():
        assert_all_arrived(stack, receiver, 3)

    assert receiver.ids.count(receiver.ids[0]) == 2


class _nobody_writes:  # noqa: N801  # used as a statement
    """Hold the write lock, so that what a worker does cannot be recorded."""

    def __init__(self, stack: Stack) -> None:
        self._path = stack.home / "greenlight.sqlite3"

    def __enter__(self) -> None:
        self._database = sqlite3.connect(self._path, timeout=20, isolation_level=None)
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_error: object) -> None:
        self._database.rollback()
        self._database.close()


def test_receiver_that_was_down_gets_everything_when_it_is_up(
    stack: Stack, receiver: Receiver
) -> None:
    port = receiver.server_address[1]
    receiver.shutdown()
    receiver.server_close()
    emit(stack, 20)
    failed = "SELECT count(*) FROM webhooks_attempt WHERE status_code IS NULL"

    with stack.worker():
        wait(lambda: stack.ask(failed) >= [3])
        with Receiver(port) as back:
            # or half a minute later, if the circuit has opened
            _execute(stack, "UPDATE webhooks_webhook SET paused_until = NULL")
            assert_all_arrived(stack, back, 20)
            back.shutdown()
