"""Events and leaves as lines of JSON, from which the very rows can be read again."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, TypedDict

from events.models import Event, Leaf

COLUMNS = [field.attname for field in Event._meta.concrete_fields]
# a spreadsheet takes a cell that begins so for a formula
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class EventJson(TypedDict):
    """One event, whole: every column of it, so that its hash can be checked."""

    id: str
    sequence: int
    type: str
    created_at: str
    actor_id: str | None
    actor_name: str
    subject_type: str
    subject_id: str
    subject_name: str
    data: dict[str, Any]
    outcome: str
    request_id: str
    credential: str
    address: str
    user_agent: str
    previous_hash: str
    hash: str


def event_json(event: Event) -> EventJson:
    """Render every column of an event."""
    return {
        "id": str(event.id),
        "sequence": event.sequence,
        "type": event.type,
        "created_at": event.created_at.isoformat(),
        "actor_id": str(event.actor_id) if event.actor_id else None,
        "actor_name": event.actor_name,
        "subject_type": event.subject_type,
        "subject_id": str(event.subject_id),
        "subject_name": event.subject_name,
        "data": event.data,
        "outcome": event.outcome,
        "request_id": event.request_id,
        "credential": event.credential,
        "address": event.address,
        "user_agent": event.user_agent,
        "previous_hash": event.previous_hash,
        "hash": event.hash,
    }


def event_of(record: dict[str, Any]) -> Event:
    """Return the event of a record, unsaved. Raises KeyError or ValueError."""
    given = {name: record[name] for name in COLUMNS}
    given["id"] = uuid.UUID(given["id"])
    given["subject_id"] = uuid.UUID(given["subject_id"])
    given["actor_id"] = uuid.UUID(given["actor_id"]) if given["actor_id"] else None
    given["created_at"] = dt.datetime.fromisoformat(given["created_at"])
    return Event(**given)


def leaf_json(leaf: Leaf) -> dict[str, Any]:
    """Render every column of a leaf, told apart from events by its `leaf`."""
    names = [field.attname for field in Leaf._meta.concrete_fields]
    values = {name: getattr(leaf, name) for name in names if name != "id"}
    values["created_at"] = leaf.created_at.isoformat()
    return {"leaf": leaf.pk, **values}


def leaf_of(record: dict[str, Any]) -> Leaf:
    """Return the leaf of a record, unsaved."""
    given = {name: value for name, value in record.items() if name != "leaf"}
    given["created_at"] = dt.datetime.fromisoformat(given["created_at"])
    return Leaf(id=record["leaf"], **given)


def json_lines(records: Iterable[Any]) -> Iterator[str]:
    """Yield a line of JSON for each record."""
    for record in records:
        yield json.dumps(record, default=str, separators=(",", ":")) + "\n"


def csv_lines(records: Iterable[EventJson]) -> Iterator[str]:
    """Yield a heading, then a line for each record; no cell can become a formula."""
    yield _row(list(EventJson.__annotations__))
    for record in records:
        values: list[Any] = list(record.values())
        yield _row([json.dumps(v) if isinstance(v, dict) else v for v in values])


def _row(values: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([_cell(value) for value in values])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    is_formula = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if is_formula else value
