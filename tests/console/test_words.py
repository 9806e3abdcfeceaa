"""States, events, sizes and signatures are said the same way everywhere."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from approvals.models import RequestStatus
from console import words
from events.models import Event
from events.types import EventType
from registry.models import VersionStatus
from registry.signatures import columns_of
from runners.models import RunStatus
from serving.models import RolloutStatus, ServerStatus

MACHINES = [VersionStatus, RequestStatus, RunStatus, RolloutStatus, ServerStatus]


@pytest.mark.parametrize("state", [state for machine in MACHINES for state in machine])
def test_every_state_has_a_look(state: str) -> None:
    look = words.look_of_state(state)
    assert look.icon != "dot"
    assert look.words


@pytest.mark.parametrize("kind", EventType)
def test_every_event_has_words(kind: EventType) -> None:
    assert words.has_words(kind)
    look = words.look_of_event(Event(type=kind, data={}))
    assert look.words


def test_event_says_shares_in_percent() -> None:
    event = Event(type=EventType.ROLLOUT_STEPPED, data={"version": 2, "weight": 50})
    assert words.look_of_event(event).words == "gave v2 0.5% of the traffic of"


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (dt.timedelta(seconds=3), "just now"),
        (dt.timedelta(minutes=1, seconds=5), "1 minute ago"),
        (dt.timedelta(hours=5), "5 hours ago"),
        (dt.timedelta(days=-2, minutes=-1), "in 2 days"),
        (dt.timedelta(seconds=-30), "in seconds"),
    ],
)
def test_times_are_relative(ago: dt.timedelta, said: str) -> None:
    assert words.relative(timezone.now() - ago) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (1234, "1.2 kB"), (5 * 10**9, "5.0 GB")],
)
def test_sizes_are_said_in_the_unit_that_fits(count: int, said: str) -> None:
    assert words.size_of(count) == said


def test_signature_lists_columns_tensors_and_parameters() -> None:
    signature = {
        "inputs": '[{"type": "double", "name": "x", "required": false}]',
        "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]',
        "params": "not json",
    }
    first, second = columns_of(signature)
    assert (first.side, first.name, first.type, first.is_required) == (
        "input",
        "x",
        "double",
        False,
    )
    assert (second.name, second.type) == ("output 0", "float64 [-1]")
