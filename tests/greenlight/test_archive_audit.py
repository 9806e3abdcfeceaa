"""`manage.py archive-audit` loses nothing, whenever it is stopped."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from access.models import User
from events import archiving
from events.models import Archive, Event, Leaf, OutboxEntry
from events.seals import last_sealed, record_read, seal
from events.verification import verify_chain
from tests.events.attacker import without_triggers
from tests.events.test_services import emit_one

LATER = "2999-01-01"


@pytest.fixture
def log(owner: User) -> list[int]:
    """Three events, a seal of two leaves, and one more; nothing waits for them."""
    for _ in range(3):
        emit_one(owner)
    for number in range(2):
        record_read(owner, principal=owner, path=f"f{number}")
    seal()
    emit_one(owner)
    OutboxEntry.objects.all().delete()
    return list(Event.objects.values_list("sequence", flat=True))


def archive(to: Path, before: str = LATER) -> str:
    output = io.StringIO()
    call_command("archive_audit", before=before, to=to, stdout=output)
    return output.getvalue()


def test_the_old_part_moves_into_a_file(log: list[int], tmp_path: Path) -> None:
    assert "events 1-5" in archive(tmp_path)
    made = Archive.objects.get()
    assert [event.type for event in Event.objects.all()] == ["audit.archived"]
    assert not Leaf.objects.exists()
    assert last_sealed() == made.last_leaf > 0
    assert list(verify_chain()) == []
    call_command("verify_audit", file=Path(made.file), stdout=io.StringIO())


def test_the_log_goes_on_after_an_archive(
    log: list[int], owner: User, tmp_path: Path
) -> None:
    archive(tmp_path)
    emit_one(owner)
    OutboxEntry.objects.all().delete()
    assert list(verify_chain()) == []
    assert "events 6-7" in archive(tmp_path)
    assert list(verify_chain()) == []


def test_an_edited_archive_is_found(log: list[int], tmp_path: Path) -> None:
    archive(tmp_path)
    path = Path(Archive.objects.get().file)
    path.write_text(path.read_text().replace('"owner"', '"nobody"', 1))
    with pytest.raises(SystemExit):
        call_command(
            "verify_audit", file=path, stdout=io.StringIO(), stderr=io.StringIO()
        )


def test_nothing_is_older(log: list[int], tmp_path: Path) -> None:
    assert archive(tmp_path, "2001-01-01") == "nothing is older\n"


def test_what_waits_is_kept(log: list[int], tmp_path: Path) -> None:
    event = Event.objects.get(sequence=2)
    OutboxEntry.objects.create(event=event, task="webhooks.tasks.fan_out")
    with pytest.raises(CommandError, match="1 entries of the outbox"):
        archive(tmp_path)
    assert Event.objects.count() == len(log)
    assert list(tmp_path.glob("audit-*")) == []


def test_what_was_not_shipped_is_kept(
    log: list[int], settings: LazySettings, tmp_path: Path
) -> None:
    settings.AUDIT_SINKS = {"events": f"file://{tmp_path}/events.jsonl"}
    with pytest.raises(CommandError, match="has not got all of it"):
        archive(tmp_path)


def test_a_log_that_is_not_whole_is_kept(log: list[int], tmp_path: Path) -> None:
    with without_triggers():
        Event.objects.filter(sequence=2).update(actor_name="nobody")
    with pytest.raises(CommandError, match="not what was written"):
        archive(tmp_path)
    assert Event.objects.count() == len(log)


class Killed(BaseException):
    """As kill -9: nothing catches it."""


@pytest.mark.parametrize(
    "step", ["write_whole", "_write_checkpoint", "verify_file", "_commit", "_drop"]
)
def test_a_call_that_was_killed_is_finished_by_the_next(
    log: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(archiving, step, die)
        with pytest.raises(Killed):
            archive(tmp_path)
    kept = {event.sequence for event in Event.objects.all()}
    assert set(log) <= kept
    OutboxEntry.objects.all().delete()
    archive(tmp_path)
    assert list(verify_chain()) == []
    assert not Event.objects.filter(sequence__in=log).exists()


def test_nothing_is_dropped_when_the_file_is_gone(
    log: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(archiving, "finish_dropping", lambda: 0)
        archive(tmp_path)
    Path(Archive.objects.get().file).unlink()
    with pytest.raises(CommandError, match="Nothing dropped"):
        archive(tmp_path)
    assert set(log) <= set(Event.objects.values_list("sequence", flat=True))


def test_an_archive_that_nobody_made_is_found(log: list[int]) -> None:
    """With the right to write rows one can pretend an archive, but not in the chain."""
    Archive.objects.create(
        first_sequence=1,
        last_sequence=3,
        last_hash=Event.objects.get(sequence=3).hash,
        last_leaf=0,
        file="f",
        sha256="0",
    )
    assert "the chain knows of none" in next(verify_chain()).problem


@pytest.mark.parametrize(("before", "to"), [("soon", "."), (LATER, "nowhere")])
def test_bad_arguments_are_refused(db: None, before: str, to: str) -> None:
    with pytest.raises(CommandError):
        archive(Path(to), before)
