"""Fan events out, and send what is due."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from celery import shared_task
from django.db import transaction

from events.models import Event
from events.relay import ring
from events.tasks import subscriber
from webhooks import dispatch, services


@subscriber
def fan_out(event: Event) -> None:
    """Write down the deliveries of an event, and ring for them after the commit."""
    for delivery in services.fan_out(event):
        transaction.on_commit(partial(ring, "webhooks.tasks.deliver", str(delivery.pk)))


@shared_task
def deliver(delivery_id: str) -> None:
    """Begin to send one delivery; the place in the worker is free again at once."""
    dispatch.start(UUID(delivery_id))


def send_due() -> None:
    """Begin to send everything that is due: retries, and what a lost ring left."""
    for delivery_id in services.due_deliveries(limit=dispatch.MAX_SENDERS):
        dispatch.start(delivery_id)
