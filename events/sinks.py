"""Ship the log to where it is kept or watched: a file, or syslog (RFC 5424).

In order, at least once: a stored cursor says how far the target got it. Syslog over
TCP has no acknowledgements, so every batch is a connection of its own: we close our
side, and the target has it all when it closes its own. UDP may lose what it likes.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from events.models import Checkpoint, Event, SinkCursor
from events.records import event_json

_BATCH = 500
_MOST_BATCHES = 20
_LEASE = dt.timedelta(seconds=60)
_LONGEST_PAUSE = dt.timedelta(seconds=30)
_TIMEOUT_SECONDS = 5.0
_AUDIT_FACILITY = 13
_SEVERITY = {"success": 6, "denied": 4, "error": 3}
# of what a UDP datagram can hold, headers taken off
_MOST_UDP_BYTES = 60_000
Item = tuple[int, dict[str, Any]]


def targets() -> dict[str, str]:
    """Return the target of each stream that is shipped."""
    return {stream: to for stream, to in settings.AUDIT_SINKS.items() if to}


def ship_due() -> None:
    """Ship what is new to every target (a sweep)."""
    for stream, target in targets().items():
        ship(stream, target)


def ship(stream: str, target: str) -> None:
    """Ship what is new of a stream, unless another process does, or it failed just now."""
    cursor, _ = SinkCursor.objects.get_or_create(stream=stream, target=target)
    now = timezone.now()
    mine = SinkCursor.objects.filter(pk=cursor.pk)
    is_free = Q(leased_until=None) | Q(leased_until__lte=now)
    if not mine.filter(is_free).update(leased_until=now + _LEASE):
        return
    cursor.refresh_from_db()
    try:
        _ship_batches(cursor)
    except OSError as error:
        since = cursor.failing_since or now
        pause = min(max(now - since, dt.timedelta(seconds=1)), _LONGEST_PAUSE)
        mine.update(
            problem=str(error)[:500], failing_since=since, leased_until=now + pause
        )
        return
    mine.update(leased_until=None)


def _ship_batches(cursor: SinkCursor) -> None:
    for _ in range(_MOST_BATCHES):
        items = _READERS[cursor.stream](cursor.position)
        if not items:
            return
        url = urlsplit(cursor.target)
        _SENDERS[url.scheme](url, items)
        now = timezone.now()
        cursor.position = items[-1][0]
        SinkCursor.objects.filter(pk=cursor.pk).update(
            position=cursor.position,
            shipped_at=now,
            problem="",
            failing_since=None,
            leased_until=now + _LEASE,
        )


def _events_after(position: int) -> list[Item]:
    rows = Event.objects.filter(sequence__gt=position).order_by("sequence")[:_BATCH]
    return [(event.sequence, dict(event_json(event))) for event in rows]


def _checkpoints_after(position: int) -> list[Item]:
    rows = Checkpoint.objects.filter(sequence__gt=position).order_by("sequence")
    return [(row.sequence, row.envelope) for row in rows[:_BATCH]]


_READERS = {"events": _events_after, "checkpoints": _checkpoints_after}


def _to_file(url: SplitResult, items: Sequence[Item]) -> None:
    path = Path(url.path)
    lines = "".join(_json(content) + "\n" for _, content in items)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            # half a line of a writer that was killed must not swallow ours
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


def _to_tcp(url: SplitResult, items: Sequence[Item]) -> None:
    address = (url.hostname or "", url.port or 601)
    with socket.create_connection(address, timeout=_TIMEOUT_SECONDS) as peer:
        for _, content in items:
            message = syslog_message(content)
            peer.sendall(b"%d %s" % (len(message), message))  # RFC 6587, 3.4.1
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(4096):
            pass


def _to_udp(url: SplitResult, items: Sequence[Item]) -> None:
    address = (url.hostname or "", url.port or 514)
    family = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0][0]
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for _, content in items:
            message = syslog_message(content)
            if len(message) > _MOST_UDP_BYTES:
                message = syslog_message({**content, "data": {"too_long": True}})
            sender.sendto(message, address)


_SENDERS = {"file": _to_file, "syslog+tcp": _to_tcp, "syslog+udp": _to_udp}


def syslog_message(content: dict[str, Any]) -> bytes:
    """Return an event, or a checkpoint, as a message of RFC 5424 with a JSON text."""
    severity = _SEVERITY.get(content.get("outcome", ""), 6)
    at = content.get("created_at") or timezone.now().isoformat()
    kind = str(content.get("type", "audit.checkpoint"))[:32]
    head = f"<{_AUDIT_FACILITY * 8 + severity}>1 {at} {_host()} greenlight - {kind} -"
    return f"{head} {_json(content)}".encode()


def _host() -> str:
    name = urlsplit(settings.PUBLIC_URL).hostname or "-"
    return name.encode("ascii", "replace").decode()[:255]


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"), default=str)
