"""The last runs of a pipeline as a strip of bars: state by tone, time by height."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from access.models import User
from console import words
from runners import services as runners
from runners.models import Run, RunStatus

MOST = 20
_HEIGHT, _LOWEST, _STEP, _WIDTH = 24, 4, 8, 6


@dataclass(frozen=True)
class Bar:
    """One run: where its bar stands, how high it is, and its look."""

    x: int
    y: int
    height: int
    tone: str

    @property
    def width(self) -> int:
        return _WIDTH


@dataclass(frozen=True)
class Strip:
    """Bars from the oldest to the newest run, and what they say in words."""

    bars: list[Bar]
    words: str
    success: str

    @property
    def width(self) -> int:
        return MOST * _STEP

    @property
    def height(self) -> int:
        return _HEIGHT


def strips_of(pipelines: Iterable[UUID], person: User) -> dict[UUID, Strip]:
    """Return the strip of each pipeline whose runs a person sees, in one query."""
    newest = Window(
        RowNumber(), partition_by="pipeline", order_by=F("created_at").desc()
    )
    rows = runners.visible_runs(person).filter(pipeline__in=list(pipelines))
    rows = rows.annotate(place=newest).filter(place__lte=MOST).order_by("-place")
    found: dict[UUID, list[Run]] = defaultdict(list)
    for run in rows:
        found[run.pipeline_id].append(run)
    return {pipeline: strip_of(runs) for pipeline, runs in found.items()}


def strip_of(runs: list[Run]) -> Strip:
    """Draw runs, given from the oldest to the newest."""
    longest = max((seconds_of(run) for run in runs), default=0.0)
    bars = [_bar(at, run, longest) for at, run in enumerate(runs[-MOST:])]
    ended = [run for run in runs if run.has_ended]
    good = sum(run.status == RunStatus.SUCCEEDED for run in ended)
    success = f"{round(100 * good / len(ended))}%" if ended else ""
    said = f"{len(runs)} run{'s' if len(runs) != 1 else ''}"
    return Strip(bars, f"{said}, {good} of {len(ended)} ended ones succeeded", success)


def _bar(at: int, run: Run, longest: float) -> Bar:
    share = seconds_of(run) / longest if longest else 1.0
    height = _LOWEST + round((_HEIGHT - _LOWEST) * share)
    tone = words.look_of_state(run.status).tone
    return Bar(at * _STEP, _HEIGHT - height, height, tone)


def seconds_of(run: Run) -> float:
    """Return how long a run trained; nothing until it has ended."""
    if run.started_at is None or run.ended_at is None:
        return 0.0
    return max(0.0, (run.ended_at - run.started_at) / dt.timedelta(seconds=1))
