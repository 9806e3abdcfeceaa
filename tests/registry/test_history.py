"""What an alias pointed at, at any moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
import time_machine

from access.models import User
from core.errors import NotFound
from events.models import Event
from registry import history
from registry import services as registry
from registry.models import AliasMove, ModelVersion, RegisteredModel

JANUARY = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def moved(
    model: RegisteredModel, make_version: Callable[..., ModelVersion], owner: User
) -> RegisteredModel:
    """Champion: version 1, a day later 2, a day later deleted, a day later 1."""
    first, second = make_version(model), make_version(model, content="2")
    with time_machine.travel(JANUARY, tick=False) as clock:
        registry.set_alias(model, "Champion", first, principal=owner)
        clock.shift(DAY)
        registry.set_alias(model, "champion", second, principal=owner)
        clock.shift(DAY)
        registry.delete_alias(model, "Champion", principal=owner)
        clock.shift(DAY)
        registry.set_alias(model, "Champion", first, principal=owner)
    return model


@pytest.mark.parametrize(
    ("days", "number"), [(0, 1), (0.5, 1), (1, 2), (1.99, 2), (3, 1), (300, 1)]
)
def test_alias_as_of_a_moment(moved: RegisteredModel, days: float, number: int) -> None:
    move = history.alias_as_of(moved, "CHAMPION", JANUARY + days * DAY)
    assert move.version is not None
    assert move.version.number == number


@pytest.mark.parametrize("days", [-0.01, 2, 2.5])
def test_no_alias_before_it_was_set_nor_while_it_was_deleted(
    moved: RegisteredModel, days: float
) -> None:
    with pytest.raises(NotFound, match="had no alias Champion at 2"):
        history.alias_as_of(moved, "Champion", JANUARY + days * DAY)


def test_moves_are_numbered_and_say_what_was_before(moved: RegisteredModel) -> None:
    moves = history.moves_of_alias(moved, "champion")
    told = [
        (
            move.generation,
            move.version and move.version.number,
            move.previous_version and move.previous_version.number,
            move.moved_by.username,
        )
        for move in moves
    ]
    assert told == [
        (4, 1, None, "owner"),
        (3, None, 2, "owner"),
        (2, 2, 1, "owner"),
        (1, 1, None, "owner"),
    ]


def test_every_move_names_its_event(moved: RegisteredModel) -> None:
    events = Event.objects.filter(type__startswith="alias.").in_bulk()
    for move in AliasMove.objects.all():
        event = events.pop(move.event_id)
        assert event.data["generation"] == move.generation
        assert event.subject_id == moved.pk
    assert not events


@pytest.mark.django_db(transaction=True)
def test_a_move_that_fails_leaves_no_history(
    moved: RegisteredModel, owner: User
) -> None:
    before = AliasMove.objects.count()
    with pytest.raises(NotFound):
        registry.delete_alias(moved, "Nobody", principal=owner)
    assert AliasMove.objects.count() == before
