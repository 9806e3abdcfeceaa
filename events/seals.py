"""Reads of bytes: a leaf each, sealed into the chain every second.

A leaf is written before the bytes are given out. Until it is sealed, for about a
second, somebody who can drop triggers could remove it without a trace; after that
`verify-audit` finds a leaf that was edited, removed, added or moved.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from core.callers import current_origin
from events.merkle import MerkleFold
from events.models import Archive, Event, Leaf
from events.services import Actor, Subject, emit
from events.subjects import INSTALLATION
from events.types import EventType

FILE_READ = "file.read"
MOST_LEAVES = 10_000


def record_read(subject: Subject, *, principal: Actor, **data: Any) -> Leaf:
    """Write down that bytes of a subject are given to a principal.

    Not within a transaction that emits: the sealer waits for writers of leaves.
    """
    leaf = Leaf(
        type=FILE_READ,
        created_at=timezone.now(),
        actor_id=principal.id,
        actor_name=principal.username,
        subject_type=subject._meta.model_name,  # type: ignore[attr-defined]  # every subject is a model
        subject_id=subject.id,
        subject_name=subject.full_name,
        data=json.loads(json.dumps(data, default=str)),
        **current_origin(),
    )
    leaf.hash = leaf_hash(leaf)
    leaf.save(force_insert=True)
    return leaf


def leaf_hash(leaf: Leaf) -> str:
    """Return sha256 of the canonical JSON of a leaf, without its number, as hex."""
    fields = {f.attname for f in Leaf._meta.concrete_fields} - {"id", "hash"}
    content = {name: getattr(leaf, name) for name in fields}
    content["created_at"] = leaf.created_at.isoformat()
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def seal() -> Event | None:
    """Fold the leaves that wait into one event of the chain; none without leaves."""
    if not Leaf.objects.filter(pk__gt=last_sealed()).exists():
        return None
    with transaction.atomic():
        _wait_for_writers()
        after = last_sealed()
        leaves = Leaf.objects.filter(pk__gt=after).order_by("pk")[:MOST_LEAVES]
        fold, last = MerkleFold(), after
        for number, text in leaves.values_list("pk", "hash").iterator(2000):
            fold.add(text)
            last = number
        if not fold.count:
            return None
        return emit(
            EventType.AUDIT_SEALED,
            INSTALLATION,
            principal=None,
            first_leaf=after + 1,
            last_leaf=last,
            count=fold.count,
            root=fold.root,
        )


def last_sealed() -> int:
    """Return the number of the last leaf that is sealed, or 0."""
    sealed = Event.objects.filter(type=EventType.AUDIT_SEALED).order_by("-sequence")
    if (event := sealed.first()) is not None:
        return int(event.data["last_leaf"])
    archive = Archive.objects.order_by("-last_sequence").first()
    return archive.last_leaf if archive else 0


def _wait_for_writers() -> None:
    """Wait until every leaf with a lower number is written or given up.

    PostgreSQL gives numbers before commits; SQLite lets one write at a time.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE events_leaf IN SHARE ROW EXCLUSIVE MODE")
