"""Steps of the tests of webhooks: owe, claim, attempt."""

from __future__ import annotations

from collections.abc import Callable

from events.models import Event
from webhooks import services
from webhooks.models import (
    Attempt,
    Delivery,
    Webhook,
)

HOOK = "/hook"
MakeEvent = Callable[..., Event]
MakeWebhook = Callable[..., Webhook]


def owed(event: Event) -> Delivery:
    """Fan an event out that exactly one webhook wants."""
    (delivery,) = services.fan_out(event)
    return delivery


def attempt(delivery: Delivery) -> Attempt:
    """Attempt a delivery that is due, and bring the row up to date."""
    done = services.attempt(delivery)
    assert done is not None
    delivery.refresh_from_db()
    return done


def make_due(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=delivery.created_at)


def get_through(delivery: Delivery) -> None:
    """Let the receiver have taken something else meanwhile: it is not down."""
    rows = Webhook.objects.filter(pk=delivery.webhook_id)
    rows.update(failing_since=None, failures_in_a_row=0, paused_until=None)


def claim(delivery: Delivery) -> list[Delivery]:
    return services.claim(delivery.webhook_id, 1, only=delivery.pk)
