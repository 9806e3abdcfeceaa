"""Checkpoints are made when there is enough new, or after a minute."""

from __future__ import annotations

import datetime as dt

import time_machine
from django.utils import timezone

from access.models import User
from events import tasks
from events.checkpoints import EVERY_EVENTS
from events.models import ChainHead, Checkpoint
from tests.events.test_services import emit_one


def sequences() -> list[int]:
    return list(Checkpoint.objects.values_list("sequence", flat=True))


def test_a_checkpoint_is_made_once_for_what_is_new(owner: User) -> None:
    tasks.checkpoint()
    assert sequences() == []
    emit_one(owner)
    tasks.checkpoint()
    tasks.checkpoint()
    assert sequences() == [1]


def test_the_next_one_waits_a_minute(owner: User) -> None:
    emit_one(owner)
    tasks.checkpoint()
    emit_one(owner)
    tasks.checkpoint()
    assert sequences() == [1]
    with time_machine.travel(timezone.now() + dt.timedelta(seconds=61)):
        tasks.checkpoint()
    assert sequences() == [1, 2]


def test_many_events_do_not_wait(owner: User) -> None:
    emit_one(owner)
    tasks.checkpoint()
    ChainHead.objects.update(sequence=1 + EVERY_EVENTS)
    tasks.checkpoint()
    assert sequences() == [1, 1 + EVERY_EVENTS]
