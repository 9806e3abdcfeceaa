"""Events: written with their transaction, chained, and handled exactly once."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable

import pytest
from celery.signals import before_task_publish
from django.db import connections, transaction
from django.db.transaction import TransactionManagementError
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from access import services as access
from access.models import AccessToken, User
from core.errors import NotFound
from events.models import ChainHead, Event, OutboxEntry
from events.services import chain_hash, draft, emit, emit_drafts
from events.tasks import relay, subscriber
from events.types import EventType
from events.verification import verify_chain
from registry.models import Schema
from tests.events.attacker import without_triggers


def emit_one(user: User) -> Event:
    with transaction.atomic():
        return emit(EventType.PRINCIPAL_CREATED, user, principal=user, note="ü")


def test_every_event_is_chained_to_the_one_before(owner: User) -> None:
    first, second = emit_one(owner), emit_one(owner)
    assert second.previous_hash == first.hash
    assert chain_hash(Event.objects.get(pk=second.pk)) == second.hash
    assert list(verify_chain()) == []


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda rows: rows.filter(sequence=2).update(actor_name="other"), "was edited"),
        (lambda rows: rows.filter(sequence=2).delete(), "missing"),
        (lambda rows: rows.filter(sequence=3).delete(), "missing"),
        (
            lambda rows: rows.filter(sequence=2).update(data={"note": "v"}),
            "was edited",
        ),
    ],
)
def test_verify_finds_what_was_done_to_the_log(
    owner: User, damage: Callable[..., object], problem: str
) -> None:
    for _ in range(3):
        emit_one(owner)
    OutboxEntry.objects.all().delete()
    with without_triggers():
        damage(Event.objects.all())
    assert problem in " ".join(p.problem for p in verify_chain())


def test_reordered_events_are_found(owner: User) -> None:
    for _ in range(3):
        emit_one(owner)
    with without_triggers():
        Event.objects.filter(sequence=2).update(sequence=99)
        Event.objects.filter(sequence=3).update(sequence=2)
        Event.objects.filter(sequence=99).update(sequence=3)
    assert list(verify_chain())


@pytest.mark.django_db(transaction=True)
def test_event_needs_a_transaction(owner: User) -> None:
    with pytest.raises(TransactionManagementError):
        emit(EventType.PRINCIPAL_CREATED, owner, principal=owner)


@pytest.mark.django_db(transaction=True)
def test_event_goes_with_its_transaction(owner: User) -> None:
    before = Event.objects.count()
    with transaction.atomic():
        emit(EventType.PRINCIPAL_CREATED, owner, principal=owner)
        transaction.set_rollback(True)
    assert Event.objects.count() == before
    assert list(verify_chain()) == []


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_make_one_chain(owner: User) -> None:
    writers, each = 6, 5
    barrier = threading.Barrier(writers)

    def write() -> None:
        barrier.wait()
        try:
            for _ in range(each):
                emit_one(owner)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ChainHead.objects.get().sequence == writers * each
    assert list(verify_chain()) == []


handled: list[str] = []


@subscriber
def note(event: Event) -> None:
    """Remember the event, or fail when told to."""
    handled.append(str(event.id))
    if event.data.get("fails"):
        raise NotFound("told to fail")


@pytest.fixture
def entry(owner: User) -> OutboxEntry:
    handled.clear()
    event = emit_one(owner)
    return OutboxEntry.objects.create(event=event, task=f"{__name__}.note")


def test_subscriber_has_its_effect_once(entry: OutboxEntry) -> None:
    for _ in range(3):
        note(str(entry.event_id))
    assert handled == [str(entry.event_id)]


def test_failed_subscriber_is_rung_for_again(entry: OutboxEntry) -> None:
    with without_triggers():
        Event.objects.filter(pk=entry.event_id).update(data={"fails": True})
    with pytest.raises(NotFound):
        note(str(entry.event_id))
    entry.refresh_from_db()
    assert entry.handled_at is None


def test_relay_rings_again_only_after_a_while(owner: User) -> None:
    emit_one(owner)
    relay()
    rung_at = OutboxEntry.objects.get().rung_at
    assert rung_at is not None
    relay()
    assert OutboxEntry.objects.get().rung_at == rung_at
    long_ago = timezone.now() - dt.timedelta(seconds=60)
    OutboxEntry.objects.update(rung_at=long_ago)
    relay()
    again = OutboxEntry.objects.get().rung_at
    assert again is not None
    assert again > rung_at


def test_one_ring_is_enough_for_a_task_that_takes_all(owner: User) -> None:
    for _ in range(3):
        emit_one(owner)
    rung: list[str] = []

    def listen(sender: str, **_message: object) -> None:
        rung.append(sender)

    before_task_publish.connect(listen)
    try:
        relay()
    finally:
        before_task_publish.disconnect(listen)
    assert rung.count("webhooks.tasks.fan_out") == 1
    assert not OutboxEntry.objects.filter(rung_at=None).exists()


def test_request_id_of_the_caller_is_kept(client: Client) -> None:
    answer = client.get("/healthz", headers={"X-Request-Id": "abc-12345678"})
    assert answer["X-Request-Id"] == "abc-12345678"
    own = client.get("/healthz", headers={"X-Request-Id": "a b"})
    assert own["X-Request-Id"] not in {"", "a b"}


@pytest.fixture
def told(owner: User, client: Client, schema: Schema) -> Event:
    """The event of a change that the owner of an account asked for by its token."""
    token = access.issue_token(owner, "laptop", principal=owner)
    client.post(
        "/api/v1/tokens",
        {"name": "second"},
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}", "User-Agent": "curl/8\t1"},
        REMOTE_ADDR="203.0.113.7",
    )
    return Event.objects.latest("sequence")


def test_event_keeps_credential_address_and_program(told: Event) -> None:
    used = AccessToken.objects.get(name="laptop")
    assert told.credential == f"token:{used.pk}"
    assert (told.address, told.user_agent) == ("203.0.113.7", "curl/8?1")
    assert told.outcome == "success"


@pytest.mark.parametrize("field", ["credential", "address", "user_agent", "outcome"])
def test_hash_covers_where_an_event_came_from(told: Event, field: str) -> None:
    with without_triggers():
        Event.objects.filter(pk=told.pk).update(**{field: "other"})
    assert [p.problem for p in verify_chain()] == ["was edited"]


def test_events_of_one_transaction_cost_what_one_costs(
    owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    emit_one(owner)  # the chain has begun
    with transaction.atomic(), django_assert_num_queries(4):
        emit(EventType.PRINCIPAL_CREATED, owner, principal=owner)
    drafts = [
        draft(EventType.PRINCIPAL_CREATED, owner, principal=owner, n=n)
        for n in range(3)
    ]
    with transaction.atomic(), django_assert_num_queries(4):
        emitted = emit_drafts(drafts)
    assert [event.sequence for event in emitted] == [3, 4, 5]
    assert OutboxEntry.objects.filter(event__in=emitted).count() == 3
    assert list(verify_chain()) == []
