"""Bring committed events to their subscribers, with exactly one effect each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import wraps
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.module_loading import import_string

from events import checkpoints, seals
from events.models import Event, OutboxEntry
from events.relay import ring

_BATCH = 200
_RING_AGAIN = dt.timedelta(seconds=5)


@shared_task
def relay() -> None:
    """Ring for every subscriber of every unhandled event, in commit order.

    An entry that was rung for and not handled within seconds is rung for again:
    brokers lose messages, and workers die with them. One ring is enough for all
    entries of a task that takes whatever waits.
    """
    due = Q(rung_at=None) | Q(rung_at__lt=timezone.now() - _RING_AGAIN)
    waiting = OutboxEntry.objects.filter(due, handled_at=None)
    takes_all: set[str] = import_string(settings.EVENT_TAKES_ALL)
    rung, awake = [], set[str]()
    for entry in waiting.order_by("event__sequence")[:_BATCH]:
        if entry.task not in awake and not ring(entry.task, str(entry.event_id)):
            break
        if entry.task in takes_all:
            awake.add(entry.task)
        rung.append(entry.pk)
    OutboxEntry.objects.filter(pk__in=rung).update(rung_at=timezone.now())


def subscriber(function: Callable[[Event], None]) -> Callable[[str], None]:
    """Make a task of a function that reacts to an event.

    The entry in the outbox is claimed in the transaction of the effect, so a
    message that comes twice, late or never has the effect exactly once.
    """

    name = f"{function.__module__}.{function.__name__}"

    @wraps(function)
    def task(event_id: str) -> None:
        with transaction.atomic():
            entry = OutboxEntry.objects.filter(
                event_id=UUID(event_id), task=name, handled_at=None
            )
            if entry.update(handled_at=timezone.now()):
                function(Event.objects.get(pk=event_id))

    registered: Callable[[str], None] = shared_task(name=name)(task)
    return registered


def seal() -> None:
    """Seal the leaves that wait (a sweep)."""
    seals.seal()


def checkpoint() -> None:
    """Sign where the chain stands, when there is enough new (a sweep)."""
    if checkpoints.is_due():
        checkpoints.make_checkpoint()
