"""Who, what, when, how it ended: the filters of the log, the same for every face."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from core.errors import InvalidParameter
from events.models import Event
from events.types import EventType, Outcome


@dataclass(frozen=True)
class EventFilter:
    """What is asked for; all that is empty asks for everything.

    `type` may end in `.*`. `subject` is an id, or how a full name begins.
    """

    type: str = ""
    actor: str = ""
    subject: str = ""
    outcome: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    # of sequences, both included
    first: int | None = None
    last: int | None = None

    def __post_init__(self) -> None:
        if self.outcome and self.outcome not in Outcome.values:
            known = ", ".join(Outcome.values)
            raise InvalidParameter(f"outcome {self.outcome!r} is none of {known}.")
        is_known = self.type.endswith(".*") or self.type in EventType.values
        if self.type and not is_known:
            raise InvalidParameter(
                f"type {self.type!r} is unknown; see docs/reference/events.md, or "
                "end it in '.*'."
            )

    def narrow(self, events: QuerySet[Event]) -> QuerySet[Event]:
        """Keep the events that are asked for."""
        if self.type.endswith(".*"):
            events = events.filter(type__startswith=self.type[:-1])
        elif self.type:
            events = events.filter(type=self.type)
        if self.actor:
            events = events.filter(actor_name__iexact=self.actor)
        if self.subject:
            events = events.filter(_about(self.subject))
        if self.outcome:
            events = events.filter(outcome=self.outcome)
        limits = {
            "created_at__gte": self.since,
            "created_at__lt": self.until,
            "sequence__gte": self.first,
            "sequence__lte": self.last,
        }
        return events.filter(**{k: v for k, v in limits.items() if v is not None})


def _about(subject: str) -> Q:
    try:
        return Q(subject_id=uuid.UUID(subject))
    except ValueError:
        return Q(subject_name__istartswith=subject)
