"""`manage.py verify-audit` finds what was done to the log behind the application's back."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.management import CommandError, call_command
from django.db import transaction

from access.models import User
from core import dsse
from events.models import ChainHead, Checkpoint, Event, Leaf, OutboxEntry, Verification
from events.seals import record_read, seal
from events.services import chain_hash
from tests.events.attacker import without_triggers
from tests.events.test_services import emit_one

EVENTS = 6


@pytest.fixture
def log(owner: User) -> None:
    """Six events that nothing waits for."""
    for _ in range(EVENTS):
        emit_one(owner)
    OutboxEntry.objects.all().delete()


@pytest.fixture
def kept(log: None, tmp_path: Path) -> list[str]:
    """A checkpoint of all of them and the key, as files that lie elsewhere."""
    checkpoint, key = tmp_path / "checkpoints.jsonl", tmp_path / "audit.pub"
    call_command("checkpoint_audit", append=checkpoint, stdout=StringIO())
    key.write_text(dsse.public_key())
    return ["--checkpoint", str(checkpoint), "--key", str(key)]


def verify(*arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and all it says."""
    output = StringIO()
    try:
        call_command("verify_audit", *arguments, stdout=output, stderr=output)
    except SystemExit as ended:
        return int(ended.code or 0), output.getvalue()
    return 0, output.getvalue()


def edit() -> None:
    Event.objects.filter(sequence=3).update(actor_name="nobody")


def remove() -> None:
    Event.objects.filter(sequence=3).delete()


def reorder() -> None:
    for before, after in [(3, 99), (4, 3), (99, 4)]:
        Event.objects.filter(sequence=before).update(sequence=after)


def truncate() -> None:
    """Cut off the end, and let the head say so."""
    Checkpoint.objects.all().delete()
    Event.objects.filter(sequence__gt=4).delete()
    ChainHead.objects.update(sequence=4, hash=Event.objects.get(sequence=4).hash)


def rewrite() -> None:
    """Change one event, and chain anew all that follow."""
    Checkpoint.objects.all().delete()
    Event.objects.filter(sequence=3).update(actor_name="nobody")
    chain_anew(3)


def chain_anew(first: int) -> None:
    previous = Event.objects.get(sequence=first - 1).hash
    for event in Event.objects.filter(sequence__gte=first):
        event.previous_hash = previous
        previous = chain_hash(event)
        Event.objects.filter(pk=event.pk).update(
            previous_hash=event.previous_hash, hash=previous
        )
    ChainHead.objects.update(hash=previous)


def insert() -> None:
    """Put an event of one's own in the place of one."""
    forged = Event.objects.get(sequence=3)
    forged.data = {"note": "forged"}
    forged.hash = chain_hash(forged)
    Event.objects.filter(sequence=3).delete()
    forged.save(force_insert=True)


def test_an_untouched_log_is_whole(kept: list[str]) -> None:
    assert verify(*kept) == (0, "6 events, an unbroken chain.\n")
    assert Verification.objects.get().problems == 0


@pytest.mark.parametrize(
    ("attack", "bad", "words"),
    [
        (edit, 3, "was edited"),
        (remove, 3, "missing; 4 follows"),
        (reorder, 3, "does not follow the event before it"),
        (insert, 4, "does not follow the event before it"),
    ],
)
def test_what_was_done_is_found_by_the_chain_alone(
    log: None, attack: Callable[[], None], bad: int, words: str
) -> None:
    with without_triggers():
        attack()
    code, said = verify()
    assert code == 1
    assert f"event {bad}: {words}" in said
    assert f"the first at event {bad}" in said


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (truncate, "event 6: is missing; a checkpoint names it"),
        (rewrite, "event 6: is not what the checkpoint says"),
    ],
)
def test_what_a_chain_hides_is_found_by_a_checkpoint(
    kept: list[str], attack: Callable[[], None], words: str
) -> None:
    with without_triggers():
        attack()
    assert verify()[0] == 0
    code, said = verify(*kept)
    assert code == 1
    assert words in said


def test_a_truncation_that_forgets_our_own_checkpoints_is_found(
    kept: list[str],
) -> None:
    with without_triggers():
        Event.objects.filter(sequence__gt=4).delete()
        ChainHead.objects.update(sequence=4, hash=Event.objects.get(sequence=4).hash)
    assert "event 6: is missing" in verify()[1]


def test_a_range_is_verified_alone(log: None) -> None:
    with without_triggers():
        edit()
    assert verify("--from", "4") == (0, "3 events, an unbroken chain.\n")
    assert verify("--to", "2") == (0, "2 events, an unbroken chain.\n")
    assert verify("--from", "2", "--to", "3")[0] == 1


def test_a_checkpoint_of_another_key_is_refused(
    kept: list[str], tmp_path: Path
) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    key = tmp_path / "other.pub"
    key.write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(CommandError, match="not one of this key"):
        verify(*kept[:2], "--key", str(key))


def test_a_changed_checkpoint_is_refused(kept: list[str]) -> None:
    path = Path(kept[1])
    envelope = json.loads(path.read_text())
    payload = envelope["payload"]
    envelope["payload"] = (
        payload[:20] + ("A" if payload[20] != "A" else "B") + payload[21:]
    )
    path.write_text(json.dumps(envelope))
    with pytest.raises(CommandError, match="not one of this key"):
        verify(*kept)


def test_checkpoint_says_where_the_chain_stood(log: None) -> None:
    output = StringIO()
    call_command("checkpoint_audit", stdout=output)
    envelope = json.loads(output.getvalue())
    said = dsse.opened(
        envelope,
        "application/vnd.greenlight.audit-checkpoint+json",
        dsse.public_key().encode(),
    )
    last = Event.objects.latest("sequence")
    assert (said["sequence"], said["hash"], said["count"]) == (6, last.hash, 6)


@pytest.fixture
def leaves(owner: User) -> list[Leaf]:
    """Five reads of bytes, sealed by the event 1."""
    for number in range(5):
        record_read(owner, principal=owner, path=f"file-{number}")
    with transaction.atomic():
        assert seal() is not None
    return list(Leaf.objects.all())


def swap(leaves: list[Leaf]) -> None:
    first, second = leaves[:2]
    Leaf.objects.filter(pk=first.pk).update(hash=second.hash, data=second.data)


@pytest.mark.parametrize(
    "attack",
    [
        lambda leaves: Leaf.objects.filter(pk=leaves[2].pk).delete(),
        lambda leaves: Leaf.objects.filter(pk=leaves[2].pk).update(actor_name="x"),
        lambda leaves: Leaf.objects.filter(pk=leaves[4].pk).delete(),
        swap,
    ],
)
def test_a_seal_finds_what_was_done_to_its_leaves(
    leaves: list[Leaf], attack: Callable[[list[Leaf]], object]
) -> None:
    OutboxEntry.objects.all().delete()
    assert verify()[0] == 0
    with without_triggers():
        attack(leaves)
    code, said = verify()
    assert code == 1
    assert "event 1: seals" in said
