"""One sender takes a delivery, and every webhook has its turn."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
import time_machine
from django.db import connection
from pytest_httpserver import HTTPServer

from events.models import Event
from events.types import EventType
from tests.webhooks.steps import (
    HOOK,
    MakeEvent,
    MakeWebhook,
    claim,
    owed,
)
from webhooks import services
from webhooks.models import (
    DeliveryStatus,
    Webhook,
)


def test_claimed_delivery_is_nobody_elses_until_the_lease_ends(
    webhook: Webhook, event: Event
) -> None:
    delivery = owed(event)
    assert claim(delivery)
    assert claim(delivery) == []
    with time_machine.travel(event.created_at + dt.timedelta(seconds=90)):
        (again,) = claim(delivery)
    assert again.attempts_begun == 2


@pytest.mark.django_db(transaction=True)
def test_one_of_many_claims_wins(webhook: Webhook, make_event: MakeEvent) -> None:
    for _ in range(3):
        owed(make_event())
    barrier, won = threading.Barrier(8), []

    def race() -> None:
        try:
            barrier.wait()
            won.append([one.pk for one in services.claim(webhook.pk, 1)])
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed = [pk for pks in won for pk in pks]
    assert len(claimed) == len(set(claimed)) == 3


def test_receiver_gets_few_requests_at_a_time(
    make_webhook: MakeWebhook, make_event: MakeEvent
) -> None:
    webhook = make_webhook(max_in_flight=2)
    for _ in range(3):
        owed(make_event())
    assert [len(services.claim(webhook.pk, 1)) for _ in range(3)] == [1, 1, 0]


def test_failing_receiver_gets_one_request_at_a_time(
    webhook: Webhook, make_event: MakeEvent
) -> None:
    Webhook.objects.update(failing_since=webhook.created_at)
    owed(make_event()), owed(make_event())
    assert len(services.claim(webhook.pk)) == 1
    assert services.claim(webhook.pk) == []


def test_what_was_claimed_and_not_begun_is_given_back(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(HOOK).respond_with_data("", 500)
    first, second = owed(make_event()), owed(make_event())
    services.send(services.claim(webhook.pk))
    second.refresh_from_db()
    assert len(httpserver.log) == 1
    assert (second.lease_until, second.attempts_begun) == (None, 0)
    first.refresh_from_db()
    assert (first.failures, first.attempts_begun) == (1, 1)


def test_several_are_sent_over_one_connection(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(HOOK).respond_with_data("")
    for _ in range(3):
        owed(make_event())
    services.send(services.claim(webhook.pk))
    done = webhook.deliveries.filter(status=DeliveryStatus.DELIVERED)
    assert done.count() == len(httpserver.log) == 3


def test_every_webhook_that_is_owed_something_has_its_turn(
    make_webhook: MakeWebhook, make_event: MakeEvent
) -> None:
    busy = make_webhook()
    for _ in range(20):
        services.fan_out(make_event())
    late = make_webhook(event_types=["tag.set"])
    owed(make_event(EventType.TAG_SET))
    assert set(services.due_webhooks()) == {busy.pk, late.pk}
