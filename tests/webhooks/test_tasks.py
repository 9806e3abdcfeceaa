"""From a committed event to the receiver, and nobody waits for the dead one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from pytest_httpserver import HTTPServer

from events.models import Event, OutboxEntry
from webhooks import dispatch, services, tasks
from webhooks.models import Attempt, Delivery, DeliveryStatus, Webhook

DEADLINE_SECONDS = 20


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


@pytest.fixture
def _senders_end() -> Iterator[None]:
    """Leave no thread behind that still talks to this test's database."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("sender "):
            thread.join(DEADLINE_SECONDS)


@pytest.fixture
def tar_pit() -> Iterator[str]:
    """A receiver that takes every request and answers none, until the test ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_event_that_comes_twice_is_owed_once(webhook: Webhook, event: Event) -> None:
    assert OutboxEntry.objects.filter(event=event, task=tasks.fan_out.name).exists()
    tasks.fan_out(str(event.pk))
    tasks.fan_out(str(event.pk))
    assert Delivery.objects.filter(event=event).count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_senders_end")
def test_due_delivery_reaches_the_receiver(
    webhook: Webhook, make_event: Callable[..., Event], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    services.fan_out(make_event())

    tasks.send_due()

    delivered = Delivery.objects.filter(status=DeliveryStatus.DELIVERED)
    wait_until(delivered.exists)
    assert len(httpserver.log) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_senders_end")
def test_ring_sends_one_delivery(
    webhook: Webhook, make_event: Callable[..., Event], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    (delivery,) = services.fan_out(make_event())

    tasks.deliver(str(delivery.pk))

    wait_until(lambda: Delivery.objects.get().status == DeliveryStatus.DELIVERED)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_senders_end")
def test_receiver_that_never_answers_delays_no_other_one(
    make_webhook: Callable[..., Webhook],
    make_event: Callable[..., Event],
    httpserver: HTTPServer,
    tar_pit: str,
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    make_webhook(url=tar_pit)
    healthy = make_webhook()
    for _ in range(10):
        services.fan_out(make_event())

    def all_arrived() -> bool:
        tasks.send_due()
        done = healthy.deliveries.filter(status=DeliveryStatus.DELIVERED)
        return done.count() == 10

    wait_until(all_arrived)
    assert not Attempt.objects.exclude(delivery__webhook=healthy).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_senders_end")
def test_nothing_is_claimed_when_every_sender_is_busy(
    webhook: Webhook,
    make_event: Callable[..., Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "_free", threading.BoundedSemaphore(1))
    dispatch._free.acquire()
    (delivery,) = services.fan_out(make_event())
    assert dispatch.start(delivery.pk) is None
    delivery.refresh_from_db()
    assert delivery.attempts_begun == 0
    connection.close()
