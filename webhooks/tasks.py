"""Fan events out, and send what is due."""

from __future__ import annotations

from celery import shared_task

from webhooks import dispatch, services
from webhooks.services.deliveries import FAN_OUT


@shared_task(name=FAN_OUT)
def fan_out(event_id: str) -> None:
    """Write down the deliveries of what waits, and begin to send them at once.

    One ring does the work of all that wait, so that a burst costs a few messages
    and transactions; a ring that comes later finds nothing.
    """
    while (owed := services.fan_out_waiting()) is not None:
        for webhook_id in owed:
            dispatch.wake(webhook_id)


def send_due() -> None:
    """Begin to send everything that is due: retries, and what a lost ring left."""
    for webhook_id in services.due_webhooks():
        dispatch.wake(webhook_id)


def erase_old_secrets() -> None:
    """Erase secrets that were rotated out, once their time is over."""
    services.erase_old_secrets()
