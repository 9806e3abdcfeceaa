"""Where a webhook wants it, an event waits for the earlier ones of its subject."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from access.models import User
from events.models import Event
from events.services import emit
from events.types import EventType
from registry.models import Schema
from tests.factories import ModelFactory
from webhooks import services
from webhooks.models import Delivery, DeliveryStatus, Webhook
from webhooks.services import attempts

MakeEvent = Callable[..., Event]


@pytest.fixture
def ordered(make_webhook: Callable[..., Webhook]) -> Webhook:
    return make_webhook(is_ordered=True)


def claimed(webhook: Webhook) -> list[Event]:
    return [delivery.event for delivery in services.claim(webhook.pk)]


def test_only_the_first_of_a_subject_is_sent(
    ordered: Webhook, make_event: MakeEvent, schema: Schema, owner: User
) -> None:
    first, _second = make_event(), make_event()
    other_model = ModelFactory(schema=schema, name="other", owner=owner)
    with transaction.atomic():
        other = emit(
            EventType.ALIAS_SET, other_model, principal=owner, alias="a", version=1
        )
    services.fan_out_waiting()
    assert claimed(ordered) == [first, other]
    assert claimed(ordered) == []  # the first is on its way


def test_next_one_is_sent_when_the_first_is_delivered(
    ordered: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    events = [make_event() for _ in range(3)]
    services.fan_out_waiting()
    while due := services.claim(ordered.pk):
        services.send(due)
    ids = [request.headers["webhook-id"] for request, _ in httpserver.log]
    assert ids == [str(event.pk) for event in events]


def test_event_waits_while_the_first_is_tried_again(
    ordered: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    answers = [200, 200, 500]
    httpserver.expect_request("/hook").respond_with_handler(
        lambda _: Response(status=answers.pop())
    )
    first, second = make_event(), make_event()
    services.fan_out_waiting()
    services.send(services.claim(ordered.pk))
    assert claimed(ordered) == []
    with time_machine.travel(timezone.now() + attempts.RETRY_AFTER[1]):
        services.send(services.claim(ordered.pk))
        assert claimed(ordered) == [second]
    ids = [request.headers["webhook-id"] for request, _ in httpserver.log]
    assert ids == [str(first.pk)] * 2


def test_what_is_given_up_holds_up_nothing(
    ordered: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    first, second = make_event(), make_event()

    def answer(request: Request) -> Response:
        is_first = request.headers["webhook-id"] == str(first.pk)
        return Response(status=500 if is_first else 200)

    httpserver.expect_request("/hook").respond_with_handler(answer)
    services.fan_out_waiting()
    last = len(attempts.RETRY_AFTER)
    Delivery.objects.filter(event=first).update(failures=last)
    services.send(services.claim(ordered.pk))
    assert Delivery.objects.get(event=first).status == DeliveryStatus.FAILED
    assert claimed(ordered) == [second]


def test_event_waits_for_an_earlier_one_that_is_not_fanned_out_yet(
    ordered: Webhook, make_event: MakeEvent
) -> None:
    first, second = make_event(), make_event()
    services.fan_out(second)  # another worker was faster
    assert claimed(ordered) == []
    services.fan_out_waiting()
    assert claimed(ordered) == [first]


def test_others_get_everything_at_once(webhook: Webhook, make_event: MakeEvent) -> None:
    events = [make_event() for _ in range(3)]
    services.fan_out_waiting()
    assert claimed(webhook) == events
