"""State machines: an enum, a `TRANSITIONS` dict and one conditional UPDATE."""

from __future__ import annotations

from typing import Any

from django.db import models

from core.errors import Conflict


def can_transition(row: models.Model, to: str) -> bool:
    """Tell whether the machine of `row` has an arrow to `to` from where it is."""
    return to in row.TRANSITIONS[row.status]  # type: ignore[attr-defined]  # every machine has both


def begin(row: models.Model, state: str, **facts: Any) -> None:
    """Let a row that is not saved yet begin in a state, with facts of other fields."""
    for field, value in {"status": state, **facts}.items():
        setattr(row, field, value)


def transition(row: models.Model, to: str, **changes: Any) -> None:
    """Move `row` to the state `to`, together with `changes` of other fields.

    Exactly one of any number of concurrent callers wins: the UPDATE holds only
    while the row still is in the state that this caller saw.

    Raises Conflict when the arrow does not exist or another caller was first.
    """
    seen: str = row.status  # type: ignore[attr-defined]  # every machine has one
    name = row._meta.verbose_name
    if not can_transition(row, to):
        raise Conflict(f"The {name} is {seen}; it cannot become {to}.")
    rows = type(row)._default_manager.filter(pk=row.pk, status=seen)
    if rows.update(status=to, **changes) == 0:
        row.refresh_from_db()
        raise Conflict(f"The {name} was {seen} and became {row.status} meanwhile.")  # type: ignore[attr-defined]  # as above
    for field, value in {"status": to, **changes}.items():
        setattr(row, field, value)
