"""The databases themselves refuse to change the log."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from access.models import User
from events.guards import GUARDED, unguarded_tables
from events.models import Archive, Checkpoint, Event, Leaf, OutboxEntry
from tests.events.attacker import without_triggers
from tests.events.test_services import emit_one

REFUSAL = "append-only"


@pytest.fixture
def rows(owner: User) -> dict[str, int]:
    """One row in each of the tables, and nothing that refers to them."""
    event = emit_one(owner)
    OutboxEntry.objects.all().delete()
    Checkpoint.objects.create(
        sequence=1, hash=event.hash, created_at=timezone.now(), envelope={}
    )
    Leaf.objects.create(
        type="file.read",
        created_at=timezone.now(),
        actor_name="owner",
        subject_type="user",
        subject_id=owner.pk,
        subject_name="owner",
    )
    Archive.objects.create(
        first_sequence=100, last_sequence=200, last_leaf=0, file="f", sha256="0"
    )
    return dict.fromkeys(GUARDED, 1)


def run(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement)


@pytest.mark.parametrize("table", GUARDED)
def test_rows_can_neither_be_changed_nor_deleted(
    rows: dict[str, int], table: str
) -> None:
    with pytest.raises(IntegrityError, match=REFUSAL):
        run(f"UPDATE {table} SET id = id")
    with pytest.raises(IntegrityError, match=REFUSAL):
        run(f"DELETE FROM {table}")


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no TRUNCATE")
@pytest.mark.parametrize("table", GUARDED)
def test_tables_can_not_be_truncated(rows: dict[str, int], table: str) -> None:
    with pytest.raises(IntegrityError, match=REFUSAL):
        run(f"TRUNCATE {table} CASCADE")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="is SQLite's own verb")
@pytest.mark.parametrize("values", ["id, 99", "'ab', sequence"])
def test_no_row_takes_the_place_of_another(rows: dict[str, int], values: str) -> None:
    columns = [f.column for f in Event._meta.fields if f.name not in {"id", "sequence"}]
    names = ", ".join(columns)
    with pytest.raises(IntegrityError, match=REFUSAL):
        run(
            f"INSERT OR REPLACE INTO events_event (id, sequence, {names})"
            f" SELECT {values}, {names} FROM events_event"
        )


def test_tables_without_their_triggers_are_told(db: None) -> None:
    """On SQLite a later migration of a table drops them; it must make them again."""
    assert unguarded_tables() == []
    with without_triggers():
        assert unguarded_tables() == GUARDED
    assert unguarded_tables() == []


def test_only_what_lies_in_an_archive_may_go(owner: User) -> None:
    first, _ = emit_one(owner), emit_one(owner)
    OutboxEntry.objects.all().delete()
    Archive.objects.create(
        first_sequence=1,
        last_sequence=1,
        last_hash=first.hash,
        last_leaf=0,
        file="f",
        sha256="0",
    )
    run("DELETE FROM events_event WHERE sequence = 1")
    with pytest.raises(IntegrityError, match=REFUSAL):
        run("DELETE FROM events_event WHERE sequence = 2")
