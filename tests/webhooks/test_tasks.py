"""From a committed event to the receiver, and nobody waits for the dead one."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
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
    assert dispatch.wait_until_idle(DEADLINE_SECONDS)


@pytest.fixture
def tar_pit() -> Iterator[str]:
    """A receiver that takes every request and answers none, until the test ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_event_that_comes_twice_is_owed_once(webhook: Webhook, event: Event) -> None:
    assert OutboxEntry.objects.filter(event=event, task=tasks.fan_out.name).exists()
    assert services.fan_out_waiting() == {webhook.pk}
    assert services.fan_out_waiting() is None
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
def test_event_is_sent_as_soon_as_it_is_fanned_out(
    webhook: Webhook, make_event: Callable[..., Event], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    tasks.fan_out(str(make_event().pk))

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


def test_lanes_are_few_while_none_is_held_up() -> None:
    senders, webhook = dispatch._Senders(), uuid.uuid4()
    senders.threads = dispatch.MAX_SENDERS  # all of them are busy elsewhere
    assert senders.wake(webhook)
    assert not senders.wake(webhook)
    senders.begun_at[webhook] -= 1
    assert not senders.wake(webhook)  # held up, but others need the threads
    senders.threads = 1
    assert senders._deserves_lane(webhook)
