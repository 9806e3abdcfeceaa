"""The log reaches its target in order, at least once, also after the target was away."""

from __future__ import annotations

import datetime as dt
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import time_machine
from django.conf import LazySettings
from django.utils import timezone

from access.models import User
from events import sinks
from events.checkpoints import make_checkpoint
from events.models import SinkCursor
from tests.events.test_services import emit_one


class Receiver:
    """A syslog server that reads octet-counted messages; `is_rude` hangs up early."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.messages: list[str] = []
        self.is_rude = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            with peer:
                self._read(peer)

    def _read(self, peer: socket.socket) -> None:
        if self.is_rude:
            linger = b"\1\0\0\0\0\0\0\0"  # reset, do not say good-bye
            peer.recv(10)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return
        with peer.makefile("rb") as stream:
            while length := _number(stream.read(1), stream):
                self.messages.append(stream.read(length).decode())

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()


def _number(text: bytes, stream: object) -> int:
    while text and not text.endswith(b" "):
        text += stream.read(1)  # type: ignore[attr-defined]
    return int(text) if text else 0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def sequences(messages: list[str]) -> list[int]:
    return [json.loads(m[m.index("{") :])["sequence"] for m in messages]


def ship_later(settings: LazySettings, seconds: int = 0) -> None:
    with time_machine.travel(timezone.now() + dt.timedelta(seconds=seconds)):
        sinks.ship_due()


def test_syslog_gets_everything_in_order_after_it_was_away(
    owner: User, settings: LazySettings, receiver: Receiver
) -> None:
    settings.AUDIT_SINKS = {"events": f"syslog+tcp://127.0.0.1:{receiver.port}"}
    emit_one(owner)
    ship_later(settings)
    receiver.is_rude = True
    emit_one(owner)
    ship_later(settings)
    assert SinkCursor.objects.get().problem
    receiver.is_rude = False
    emit_one(owner)
    ship_later(settings)  # waits after a failure
    assert SinkCursor.objects.get().position == 1
    ship_later(settings, 40)
    cursor = SinkCursor.objects.get()
    assert (cursor.position, cursor.problem, cursor.failing_since) == (3, "", None)
    assert sequences(receiver.messages) == [1, 2, 3]


def test_a_message_is_one_of_rfc_5424(owner: User) -> None:
    event = emit_one(owner)
    [(_, content)] = sinks._events_after(0)
    head, _, text = sinks.syslog_message(content).decode().partition(" {")
    priority, at, host, app, process, kind, structured = head.split(" ")
    assert priority == "<110>1"
    assert dt.datetime.fromisoformat(at) == event.created_at
    assert (host, app, process) == ("127.0.0.1", "greenlight", "-")
    assert (kind, structured) == (event.type, "-")
    assert json.loads("{" + text)["hash"] == event.hash


def test_udp_gets_it_too(owner: User, settings: LazySettings) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        port = server.getsockname()[1]
        settings.AUDIT_SINKS = {"events": f"syslog+udp://127.0.0.1:{port}"}
        emit_one(owner)
        sinks.ship_due()
        assert sequences([server.recv(65535).decode()]) == [1]


def test_a_file_gets_whole_lines_after_half_a_one(
    owner: User, settings: LazySettings, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"sequence": 0, "ty')
    settings.AUDIT_SINKS = {"events": f"file://{path}"}
    for _ in range(2):
        emit_one(owner)
        sinks.ship_due()
    assert sequences(path.read_text().splitlines()[1:]) == [1, 2]


def test_checkpoints_are_shipped_as_they_are(
    owner: User, settings: LazySettings, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoints.jsonl"
    settings.AUDIT_SINKS = {"checkpoints": f"file://{path}"}
    emit_one(owner)
    made = make_checkpoint()
    assert made is not None
    sinks.ship_due()
    assert json.loads(path.read_text()) == made.envelope


def test_one_process_ships_at_a_time(
    owner: User, settings: LazySettings, tmp_path: Path
) -> None:
    target = f"file://{tmp_path}/events.jsonl"
    later = timezone.now() + dt.timedelta(seconds=30)
    SinkCursor.objects.create(stream="events", target=target, leased_until=later)
    emit_one(owner)
    sinks.ship("events", target)
    assert SinkCursor.objects.get().position == 0
