"""Write events inside the transaction that makes them true."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from typing import Any, Protocol

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from core.callers import current_origin
from events.models import ChainHead, Event, OutboxEntry
from events.relay import nudge_relay
from events.types import EventType, Outcome, outcome_of

GENESIS = "0" * 64
_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)


@contextmanager
def rehearsal() -> Iterator[None]:
    """Let services run for what they would do: no event, and all is rolled back.

    The chain is not locked, so that nobody waits for a rehearsal.
    """
    token = _rehearsing.set(True)
    try:
        with transaction.atomic():
            yield
            transaction.set_rollback(True)
    finally:
        _rehearsing.reset(token)


class Actor(Protocol):
    """Who did it: any principal."""

    id: uuid.UUID
    username: str


class Subject(Protocol):
    """What it was done to: any row that can be named."""

    id: uuid.UUID

    @property
    def full_name(self) -> str: ...


def emit(
    event_type: EventType,
    subject: Subject,
    *,
    principal: Actor | None,
    event_id: uuid.UUID | None = None,
    **data: Any,
) -> Event:
    """Record that something happened; call it last in the transaction.

    The lock on the chain's head is held from here to the commit, so that the
    order of events is the order of commits. `principal` None means the system.
    Give `event_id` where a row that was written before has to know the event.
    """
    happened = draft(
        event_type, subject, principal=principal, event_id=event_id, **data
    )
    return emit_drafts([happened])[0]


def draft(
    event_type: EventType,
    subject: Subject,
    *,
    principal: Actor | None,
    event_id: uuid.UUID | None = None,
    **data: Any,
) -> Event:
    """Return an event that is not chained yet, for `emit_drafts`."""
    return Event(
        id=event_id or uuid.uuid4(),
        type=event_type.value,
        actor_id=principal.id if principal else None,
        actor_name=principal.username if principal else "system",
        subject_type=subject._meta.model_name,  # type: ignore[attr-defined]  # every subject is a model
        subject_id=subject.id,
        subject_name=subject.full_name,
        data=json.loads(json.dumps(data, default=str)),
        outcome=outcome_of(event_type),
        **current_origin(),
    )


def emit_drafts(events: Sequence[Event]) -> Sequence[Event]:
    """Record several events of one transaction, in their order, for the price of one.

    The same as `emit` for each of them: call it last in the transaction.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("emit() needs a transaction.")
    head = ChainHead() if _rehearsing.get() else _lock_head()
    for event in events:
        event.created_at = timezone.now()
        event.sequence, event.previous_hash = head.sequence + 1, head.hash
        event.hash = chain_hash(event)
        head.sequence, head.hash = event.sequence, event.hash
    if _rehearsing.get():
        return events
    Event.objects.bulk_create(events)
    ChainHead.objects.update(sequence=head.sequence, hash=head.hash)
    OutboxEntry.objects.bulk_create(
        OutboxEntry(event=event, task=task)
        for event in events
        for task in subscribers(event.type)
    )
    _ring()
    return events


def _lock_head() -> ChainHead:
    rows = ChainHead.objects.select_for_update()
    if head := rows.filter(id=1).first():
        return head
    ChainHead.objects.get_or_create(id=1, defaults={"hash": GENESIS})
    return rows.get(id=1)


def subscribers(event_type: str) -> list[str]:
    """Return the names of the tasks that want an event of this type."""
    table: dict[str, list[str]] = import_string(settings.EVENT_SUBSCRIPTIONS)
    return [
        task
        for pattern, tasks in table.items()
        if fnmatchcase(event_type, pattern)
        for task in tasks
    ]


def _ring() -> None:
    """Nudge the relay once per transaction; the keeper's sweep finds what is lost."""
    waiting: list[tuple[object, ...]] = list(connection.run_on_commit)
    if nudge_relay not in [function for _, function, *_ in waiting]:
        transaction.on_commit(nudge_relay)


def chain_hash(event: Event) -> str:
    """Return sha256(previous hash, canonical JSON of the event) as hex.

    Canonical JSON in the manner of RFC 8785: sorted keys, no white space. What
    later versions added is left out while it is empty, so old hashes stay true.
    """
    later = {
        "outcome": "" if event.outcome == Outcome.SUCCESS else str(event.outcome),
        "credential": event.credential,
        "address": event.address,
        "user_agent": event.user_agent,
    }
    content = {
        **{key: value for key, value in later.items() if value},
        "id": str(event.id),
        "sequence": event.sequence,
        "type": str(event.type),
        "created_at": event.created_at.isoformat(),
        "actor_id": str(event.actor_id) if event.actor_id else None,
        "actor_name": event.actor_name,
        "subject_type": event.subject_type,
        "subject_id": str(event.subject_id),
        "subject_name": event.subject_name,
        "data": event.data,
        "request_id": event.request_id,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(event.previous_hash.encode() + canonical.encode()).hexdigest()
