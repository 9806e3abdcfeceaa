"""Retention: write the old part of the log to a file, verify that, and only then drop it.

A crash at any line loses nothing. Before the row of the archive is committed nothing is
dropped; after it the file is there and was verified, and the next call drops the rest.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.utils.module_loading import import_string

from core.errors import Conflict
from events import checkpoints
from events.files import sha256_of, write_whole
from events.models import Archive, Event, Leaf, OutboxEntry, SinkCursor
from events.records import event_json, json_lines, leaf_json
from events.services import emit
from events.sinks import targets
from events.types import EventType
from events.verification import verify_chain, verify_file

_CHUNK = 2000
_BATCH = 5000


def archive_before(before: dt.datetime, directory: Path) -> Archive | None:
    """Move the events before a moment into a file; None if there are none.

    Raises Conflict when something still needs one of them, or the log is not whole.
    """
    finish_dropping()
    previous = _latest()
    first = previous.last_sequence + 1 if previous else 1
    last = _last_before(before)
    if last < first:
        return None
    _require_idle(last)
    _require_whole(verify_chain(first, last), "The log")
    path = (directory / f"audit-{first:012d}-{last:012d}.jsonl").resolve()
    write_whole(path, json_lines(_records(first, last)))
    _write_checkpoint(path)
    end = Event.objects.get(sequence=last)
    _require_whole(verify_file(path, {last: end.hash}), f"The file {path}")
    archive = _commit(first, end, path, previous)
    finish_dropping()
    return archive


def _latest() -> Archive | None:
    return Archive.objects.order_by("-last_sequence").first()


def _last_before(before: dt.datetime) -> int:
    """Return the last sequence of which all up to it happened before a moment."""
    by_sequence = Event.objects.order_by("sequence")
    after = by_sequence.filter(created_at__gte=before).first()
    if after is not None:
        return after.sequence - 1
    newest = by_sequence.last()
    return newest.sequence if newest else 0


def _require_idle(last: int) -> None:
    """Refuse while somebody has not been told of an event yet. Raises Conflict."""
    waiting = OutboxEntry.objects.filter(event__sequence__lte=last, handled_at=None)
    reasons = [function(last) for function in _holders("pending")]
    if count := waiting.count():
        reasons.append(f"{count} entries of the outbox are not handled")
    for stream, target in targets().items():
        cursor = SinkCursor.objects.filter(stream=stream, target=target).first()
        if stream == "events" and (cursor is None or cursor.position < last):
            reasons.append(f"{target} has not got all of it")
    if told := "; ".join(filter(None, reasons)):
        raise Conflict(f"Up to event {last}: {told}. Wait, or archive less.")


def _holders(verb: str) -> list[Callable[..., str]]:
    table: dict[str, list[str]] = import_string(settings.EVENT_HOLDERS)
    return [import_string(path) for path in table[verb]]


def _require_whole(problems: Iterator[object], what: str) -> None:
    if (problem := next(problems, None)) is not None:
        raise Conflict(f"{what} is not what was written: {problem}. Nothing dropped.")


def _records(first: int, last: int) -> Iterator[object]:
    """Yield the events of a range, each seal after the leaves that it seals."""
    events = Event.objects.filter(sequence__range=(first, last)).order_by("sequence")
    for event in events.iterator(chunk_size=_CHUNK):
        if event.type == EventType.AUDIT_SEALED:
            span = event.data["first_leaf"], event.data["last_leaf"]
            leaves = Leaf.objects.filter(pk__range=span).order_by("pk")
            yield from map(leaf_json, leaves.iterator(chunk_size=_CHUNK))
        yield event_json(event)


def _write_checkpoint(path: Path) -> None:
    """Lay a checkpoint of the whole chain beside the file."""
    checkpoint = checkpoints.make_checkpoint()
    if checkpoint is not None:
        beside = path.with_suffix(".checkpoint.json")
        write_whole(beside, [json.dumps(checkpoint.envelope) + "\n"])


@transaction.atomic
def _commit(first: int, end: Event, path: Path, previous: Archive | None) -> Archive:
    sealed = Event.objects.filter(
        type=EventType.AUDIT_SEALED, sequence__range=(first, end.sequence)
    )
    seal = sealed.order_by("-sequence").first()
    before = previous.last_leaf if previous else 0
    archive = Archive.objects.create(
        first_sequence=first,
        last_sequence=end.sequence,
        last_hash=end.hash,
        last_leaf=seal.data["last_leaf"] if seal else before,
        file=str(path),
        sha256=sha256_of(path),
    )
    emit(
        EventType.AUDIT_ARCHIVED,
        archive,
        principal=None,
        first=first,
        last=end.sequence,
        count=end.sequence - first + 1,
        last_hash=end.hash,
        file=path.name,
        sha256=archive.sha256,
    )
    return archive


def finish_dropping() -> int:
    """Drop what lies in the latest archive and is still here; return how much.

    Raises Conflict when the file is not there any more, or is not what was written.
    """
    archive = _latest()
    if archive is None:
        return 0
    left = Event.objects.filter(sequence__lte=archive.last_sequence)
    total = left.count()
    if not total and not Leaf.objects.filter(pk__lte=archive.last_leaf).exists():
        return 0
    path = Path(archive.file)
    if not path.exists() or sha256_of(path) != archive.sha256:
        raise Conflict(
            f"{path} is not there as it was written; put it back. Nothing dropped."
        )
    while (lowest := left.order_by("sequence").first()) is not None:
        end = min(lowest.sequence + _BATCH - 1, archive.last_sequence)
        _drop(lowest.sequence, end)
    _execute("DELETE FROM events_leaf WHERE id <= %s", archive.last_leaf)
    return total


@transaction.atomic
def _drop(first: int, last: int) -> None:
    for function in _holders("let_go"):
        function(first, last)
    OutboxEntry.objects.filter(event__sequence__range=(first, last)).delete()
    _execute("DELETE FROM events_event WHERE sequence BETWEEN %s AND %s", first, last)


def _execute(statement: str, *values: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
