"""A receiver that fails is left alone for a while, and loses nothing by it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from email.utils import format_datetime

import pytest
import time_machine
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from access.models import User
from core.errors import Conflict, NotFound
from events.models import Event
from events.types import EventType
from tests.webhooks.conftest import verified
from webhooks import services
from webhooks.models import (
    OPENS_AFTER,
    Circuit,
    Delivery,
    DeliveryStatus,
    Webhook,
    WebhookStatus,
)
from webhooks.services import attempts

MakeEvent = Callable[..., Event]
HOUR = dt.timedelta(hours=1)


def owe(make_event: MakeEvent, count: int) -> None:
    for _ in range(count):
        services.fan_out(make_event())


def send_due(webhook: Webhook) -> int:
    """Send whatever is due, as the sweep would; return how many requests it were."""
    count = 0
    while webhook.pk in services.due_webhooks():
        claimed = services.claim(webhook.pk)
        if not claimed:
            break
        count += len(services.send(claimed))
    webhook.refresh_from_db()
    return count


def test_circuit_opens_after_failures_in_a_row(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("", 500)
    owe(make_event, 20)
    assert send_due(webhook) == OPENS_AFTER
    assert webhook.circuit == Circuit.OPEN
    assert services.claim(webhook.pk) == []


def test_half_open_circuit_lets_one_request_through_and_waits_longer(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("", 500)
    owe(make_event, 20)
    send_due(webhook)
    first = webhook.paused_until
    assert first is not None
    with time_machine.travel(first + dt.timedelta(seconds=1)):
        assert Webhook.objects.get().circuit == Circuit.HALF_OPEN
        assert send_due(webhook) == 1
        assert webhook.paused_until - timezone.now() > dt.timedelta(seconds=45)


def test_success_closes_the_circuit_and_everything_arrives(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    answers = [500] * OPENS_AFTER
    httpserver.expect_request("/hook").respond_with_handler(
        lambda _: Response(status=answers.pop() if answers else 200)
    )
    owe(make_event, 20)
    send_due(webhook)
    with time_machine.travel(timezone.now() + HOUR):
        send_due(webhook)
    assert webhook.circuit == Circuit.CLOSED
    assert (webhook.failing_since, webhook.failures_in_a_row) == (None, 0)
    delivered = webhook.deliveries.filter(status=DeliveryStatus.DELIVERED)
    assert delivered.count() == 20


def test_receiver_that_is_down_for_three_days_gets_everything(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    is_down = True
    httpserver.expect_request("/hook").respond_with_handler(
        lambda _: Response(status=500 if is_down else 200)
    )
    owe(make_event, 3)
    begun = timezone.now()
    for hours in range(72):
        with time_machine.travel(begun + hours * HOUR):
            send_due(webhook)
    assert not webhook.deliveries.exclude(status=DeliveryStatus.PENDING).exists()
    is_down = False
    for hours in range(72, 108):
        with time_machine.travel(begun + hours * HOUR):
            send_due(webhook)
    delivered = webhook.deliveries.filter(status=DeliveryStatus.DELIVERED)
    assert delivered.count() == 3
    assert len({request.headers["webhook-id"] for request, _ in httpserver.log}) == 3


def test_event_that_alone_fails_holds_up_no_other_one(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    poison = make_event()

    def answer(request: Request) -> Response:
        return Response(
            status=500 if request.headers["webhook-id"] == str(poison.pk) else 200
        )

    httpserver.expect_request("/hook").respond_with_handler(answer)
    services.fan_out(poison)
    Webhook.objects.update(failing_since=timezone.now(), failures_in_a_row=OPENS_AFTER)
    owe(make_event, 5)
    for minutes in range(30):
        with time_machine.travel(timezone.now() + dt.timedelta(minutes=minutes)):
            send_due(webhook)
    pending = webhook.deliveries.filter(status=DeliveryStatus.PENDING)
    assert [delivery.event_id for delivery in pending] == [poison.pk]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_pauses_the_webhook(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer, status: int
) -> None:
    httpserver.expect_request("/hook").respond_with_data(
        "", status, {"Retry-After": "120"}
    )
    owe(make_event, 2)
    assert send_due(webhook) == 1
    assert webhook.paused_until is not None
    pause = webhook.paused_until - timezone.now()
    assert dt.timedelta(seconds=110) < pause <= dt.timedelta(seconds=120)
    first = Delivery.objects.order_by("created_at")[0]
    assert first.next_attempt_at >= webhook.paused_until - dt.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("999999999999", 86400),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 86400),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_and_capped(text: str, seconds: int | None) -> None:
    read = attempts.retry_after_of(text)
    assert read == (None if seconds is None else dt.timedelta(seconds=seconds))


def test_retry_after_may_be_a_date() -> None:
    at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100)
    read = attempts.retry_after_of(format_datetime(at, usegmt=True))
    assert read is not None
    assert 95 < read.total_seconds() <= 100


def test_pauses_of_the_circuit_grow_to_ten_minutes() -> None:
    assert attempts.circuit_pause(OPENS_AFTER - 1) == dt.timedelta(0)
    for failures, pause in ((OPENS_AFTER, 30), (OPENS_AFTER + 2, 120), (99, 600)):
        seconds = attempts.circuit_pause(failures).total_seconds()
        assert pause * 0.8 <= seconds <= pause * 1.2


def test_webhook_that_was_disabled_is_enabled_by_hand_with_a_clean_slate(
    webhook: Webhook, make_event: MakeEvent, admin: User, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("", 500)
    owe(make_event, 1)
    long_ago = timezone.now() - attempts.GIVE_UP_AFTER - HOUR
    Webhook.objects.update(failing_since=long_ago, failures_in_a_row=40)
    send_due(webhook)
    assert webhook.status == WebhookStatus.DISABLED
    disabled = Event.objects.get(type=EventType.WEBHOOK_DISABLED)
    assert "5 days" in disabled.data["reason"]

    httpserver.clear()
    httpserver.expect_request("/hook").respond_with_data("")
    services.enable_webhook(webhook, principal=admin)
    with time_machine.travel(timezone.now() + 25 * HOUR):
        send_due(webhook)
    assert webhook.circuit == Circuit.CLOSED
    assert Delivery.objects.get().status == DeliveryStatus.DELIVERED
    with pytest.raises(Conflict):
        services.enable_webhook(webhook, principal=admin)


def test_stranger_enables_nothing(webhook: Webhook, stranger: User) -> None:
    with pytest.raises(NotFound):
        services.enable_webhook(webhook, principal=stranger)
    with pytest.raises(NotFound):
        services.delete_webhook(webhook, principal=stranger)


# --- ping ---------------------------------------------------------------------


def test_ping_goes_to_its_webhook_alone_and_past_an_open_circuit(
    make_webhook: Callable[..., Webhook], admin: User, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    pinged, other = make_webhook(), make_webhook(event_types=["*"])
    Webhook.objects.update(paused_until=timezone.now() + HOUR, failures_in_a_row=9)
    delivery = services.ping_webhook(pinged, principal=admin)
    services.fan_out_waiting()

    services.send(services.claim(pinged.pk))

    body = verified(pinged, httpserver.log[0][0])
    assert body["type"] == "webhook.pinged"
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.DELIVERED
    types = other.deliveries.values_list("event__type", flat=True)
    assert EventType.WEBHOOK_PINGED not in types


def test_creator_who_is_no_admin_gets_the_ping(
    make_webhook: Callable[..., Webhook],
    model: object,
    owner: User,
    stranger: User,
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    scope = {"scope_type": "model", "scope": "prod.fraud.scorer"}
    webhook = make_webhook(principal=owner, **scope)
    services.ping_webhook(webhook, principal=owner)
    services.send(services.claim(webhook.pk))
    assert len(httpserver.log) == 1
    with pytest.raises(NotFound):
        services.ping_webhook(webhook, principal=stranger)
