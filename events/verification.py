"""Find what was done to the log: edited, removed, reordered, truncated, in constant memory.

The same walk reads the tables and the files of archives and exports.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from events import checkpoints
from events.merkle import MerkleFold
from events.models import Archive, ChainHead, Checkpoint, Event, Leaf
from events.records import event_of, leaf_of
from events.seals import leaf_hash
from events.services import GENESIS, chain_hash
from events.types import EventType

_CHUNK = 2000
Told = Callable[[int], object]


@dataclass(frozen=True)
class ChainProblem:
    """A place where the log is not what was written."""

    sequence: int
    problem: str


@dataclass
class Walk:
    """Follow events one by one; yields what does not fit the one before it."""

    expected: int
    # None: unknown, so the first event is believed
    previous: str | None

    def step(self, event: Event) -> Iterator[ChainProblem]:
        if event.sequence != self.expected:
            yield ChainProblem(self.expected, f"missing; {event.sequence} follows")
        elif self.previous not in {event.previous_hash, None}:
            yield ChainProblem(event.sequence, "does not follow the event before it")
        if chain_hash(event) != event.hash:
            yield ChainProblem(event.sequence, "was edited")
        self.expected, self.previous = event.sequence + 1, event.hash


def verify_chain(
    first: int = 1, last: int | None = None, told: Told = lambda _: None
) -> Iterator[ChainProblem]:
    """Walk a range of the tables and yield every event that is not what was written.

    `told` is called with every sequence that was looked at.
    """
    highest = Event.objects.order_by("-sequence").first()
    head = ChainHead.objects.filter(id=1).first() or ChainHead(hash=GENESIS)
    archive = Archive.objects.order_by("-last_sequence").first()
    yield from _verify_archive(archive)
    start = max(first, archive.last_sequence + 1 if archive else 1)
    end = head.sequence if last is None else min(last, head.sequence)
    walk = Walk(start, _hash_before(start, archive))
    rows = Event.objects.filter(sequence__range=(start, end)).order_by("sequence")
    for event in rows.iterator(chunk_size=_CHUNK):
        yield from walk.step(event)
        if event.type == EventType.AUDIT_SEALED:
            yield from verify_seal(event)
        told(event.sequence)
    if walk.expected <= end:
        said = f"missing; the chain ends at {head.sequence}"
        yield ChainProblem(walk.expected, said)
    elif end == head.sequence and walk.previous not in {head.hash, None}:
        yield ChainProblem(head.sequence, "is not what the chain's head says")
    if highest and highest.sequence > head.sequence:
        yield ChainProblem(head.sequence + 1, "stands after the end of the chain")
    yield from _verify_own_checkpoints(start, last)


def _hash_before(start: int, archive: Archive | None) -> str | None:
    if start == 1:
        return GENESIS
    if archive and start == archive.last_sequence + 1:
        return archive.last_hash
    before = Event.objects.filter(sequence=start - 1).first()
    return before.hash if before else None


def _verify_archive(archive: Archive | None) -> Iterator[ChainProblem]:
    """Find an archive that nobody made by `archive-audit`: the chain tells of each."""
    if archive is None:
        return
    told = Event.objects.filter(
        type=EventType.AUDIT_ARCHIVED, subject_id=archive.pk
    ).first()
    boundary = (archive.last_sequence, archive.last_hash)
    if told is None or boundary != (told.data["last"], told.data["last_hash"]):
        yield ChainProblem(
            archive.first_sequence, "is said to be archived; the chain knows of none"
        )


def verify_seal(event: Event) -> Iterator[ChainProblem]:
    """Hold the leaves of the table against the event that sealed them."""
    span = event.data["first_leaf"], event.data["last_leaf"]
    leaves = Leaf.objects.filter(pk__range=span).order_by("pk")
    yield from seal_problems(event, leaves.iterator(chunk_size=_CHUNK))


def seal_problems(event: Event, leaves: Iterable[Leaf]) -> Iterator[ChainProblem]:
    """Hold leaves against the event that sealed them."""
    fold = MerkleFold()
    for leaf in leaves:
        if leaf_hash(leaf) != leaf.hash:
            yield ChainProblem(
                event.sequence, f"seals leaf {leaf.pk}, which was edited"
            )
        fold.add(leaf.hash)
    yield from _compared(event, fold)


def _verify_own_checkpoints(start: int, last: int | None) -> Iterator[ChainProblem]:
    """Hold the log against our own checkpoints, also beyond where it ends now."""
    kept = Checkpoint.objects.filter(sequence__gte=start)
    if last is not None:
        kept = kept.filter(sequence__lte=last)
    for checkpoint in kept.iterator(chunk_size=_CHUNK):
        yield from _held_against(checkpoint.sequence, checkpoint.hash)


def verify_checkpoint(sequence: int, text: str) -> Iterator[ChainProblem]:
    """Hold the log against a checkpoint that was kept elsewhere."""
    archive = Archive.objects.filter(last_sequence__gte=sequence).first()
    if archive is None:
        yield from _held_against(sequence, text)
    elif archive.last_sequence == sequence and archive.last_hash != text:
        yield ChainProblem(sequence, "is not what the checkpoint says")


def _held_against(sequence: int, text: str) -> Iterator[ChainProblem]:
    event = Event.objects.filter(sequence=sequence).first()
    if event is None:
        yield ChainProblem(sequence, "is missing; a checkpoint names it")
    elif event.hash != text:
        yield ChainProblem(sequence, "is not what the checkpoint says")


def opened_all(
    envelopes: Iterable[Any], key: bytes
) -> Iterator[checkpoints.CheckpointJson]:
    """Open checkpoints that were kept. Raises InvalidParameter for a forged one."""
    return (checkpoints.opened(envelope, key) for envelope in envelopes)


def verify_file(
    path: Path, marks: dict[int, str] | None = None, told: Told = lambda _: None
) -> Iterator[ChainProblem]:
    """Walk the lines of an archive or of an export of everything; no database.

    `marks` are the hashes that checkpoints say, by sequence.
    """
    with path.open() as lines:
        yield from _verify_records(map(json.loads, lines), marks or {}, told)


def _verify_records(
    records: Iterable[dict[str, Any]], marks: dict[int, str], told: Told
) -> Iterator[ChainProblem]:
    walk: Walk | None = None
    first, fold = 0, MerkleFold()
    for record in records:
        if "leaf" in record:
            yield from _read_leaf(record, walk, fold)
            continue
        event = event_of(record)
        if walk is None:
            first = event.sequence
            walk = Walk(first, GENESIS if first == 1 else None)
        yield from walk.step(event)
        if fold.count:
            yield from _compared(event, fold)
            fold = MerkleFold()
        if marks.get(event.sequence, event.hash) != event.hash:
            yield ChainProblem(event.sequence, "is not what the checkpoint says")
        told(event.sequence)
    last = walk.expected - 1 if walk else 0
    for sequence in sorted(marks):
        if sequence > max(last, first):
            yield ChainProblem(sequence, "is missing; a checkpoint names it")


def _read_leaf(
    record: dict[str, Any], walk: Walk | None, fold: MerkleFold
) -> Iterator[ChainProblem]:
    """Fold a leaf; those that an event seals stand before it in a file."""
    leaf = leaf_of(record)
    if leaf_hash(leaf) != leaf.hash:
        sequence = walk.expected if walk else 0
        yield ChainProblem(sequence, f"seals leaf {leaf.pk}, which was edited")
    fold.add(leaf.hash)


def _compared(event: Event, fold: MerkleFold) -> Iterator[ChainProblem]:
    if (fold.count, fold.root) == (event.data.get("count"), event.data.get("root")):
        return
    span = f"{event.data.get('first_leaf')}-{event.data.get('last_leaf')}"
    yield ChainProblem(
        event.sequence, f"seals the leaves {span}; they are not what was sealed"
    )
