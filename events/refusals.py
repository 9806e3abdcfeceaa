"""What was refused, told so that no client in a loop can flood the log.

The first refusal of its kind in a minute is an event at once; how often it came
again in that minute is one event after it. Of one caller, and of all who could
not say who they are, only so many kinds a minute are told one by one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from core.callers import current_origin
from events.models import RefusalCount
from events.services import Actor, Subject, emit
from events.subjects import INSTALLATION, NamedActor, NamedSubject
from events.types import EventType

MOST_OF_ONE_CALLER = 30
MOST_OF_UNKNOWN_CALLERS = 100
_MINUTE = dt.timedelta(minutes=1)
_BATCH = 200


@dataclass(frozen=True)
class Refusal:
    """Who was refused what; `data` is told, and tells kinds of refusals apart."""

    type: EventType
    subject: Subject
    principal: Actor | None
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def caller(self) -> str:
        return str(self.principal.id) if self.principal else "unknown"

    @property
    def key(self) -> str:
        kind = [self.type, str(self.subject.id), self.data]
        text = json.dumps(kind, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def record_refusal(refusal: Refusal) -> None:
    """Tell of a refusal, or count it when the same was told within this minute."""
    now = timezone.now()
    minute = now.replace(second=0, microsecond=0)
    rows = RefusalCount.objects.filter(caller=refusal.caller, minute=minute)
    if _counted(rows.filter(key=refusal.key), now):
        return
    most = MOST_OF_ONE_CALLER if refusal.principal else MOST_OF_UNKNOWN_CALLERS
    if rows.count() >= most:
        refusal = _of_many(refusal)
        if _counted(rows.filter(key=refusal.key), now):
            return
    with transaction.atomic():
        made, is_new = RefusalCount.objects.get_or_create(
            caller=refusal.caller,
            minute=minute,
            key=refusal.key,
            defaults={"last_at": now, "event": _as_json(refusal)},
        )
        if is_new:
            _emit(refusal, count=1)
        else:
            _counted(RefusalCount.objects.filter(pk=made.pk), now)


def _counted(rows: Any, now: dt.datetime) -> bool:
    return bool(rows.update(count=F("count") + 1, last_at=now))


def _of_many(refusal: Refusal) -> Refusal:
    """Put what is too many kinds in a minute into one."""
    words = "many different things; more are not told one by one in this minute"
    return Refusal(refusal.type, INSTALLATION, refusal.principal, {"reason": words})


def tell_repeats() -> None:
    """Tell how often what was refused came again in the minutes that are over (a sweep)."""
    over = timezone.now().replace(second=0, microsecond=0)
    for row in RefusalCount.objects.filter(minute__lt=over).order_by("pk")[:_BATCH]:
        with transaction.atomic():
            claimed, _ = RefusalCount.objects.filter(pk=row.pk).delete()
            if claimed and row.count > 1:
                _emit(
                    _from_json(row.event),
                    count=row.count - 1,
                    since=row.minute.isoformat(),
                    last_at=row.last_at.isoformat(),
                    **row.event["origin"],
                )


def _emit(refusal: Refusal, **more: Any) -> None:
    data = {**refusal.data, **more}
    emit(refusal.type, refusal.subject, principal=refusal.principal, **data)


def _as_json(refusal: Refusal) -> dict[str, Any]:
    subject, principal = refusal.subject, refusal.principal
    origin = current_origin()
    return {
        "type": refusal.type.value,
        "subject": [
            subject._meta.model_name,  # type: ignore[attr-defined]  # every subject is a model
            str(subject.id),
            subject.full_name,
        ],
        "principal": [str(principal.id), principal.username] if principal else None,
        "data": json.loads(json.dumps(refusal.data, default=str)),
        # the event of the repeats is written by a sweep, which serves no request
        "origin": {k: v for k, v in origin.items() if k != "request_id"},
    }


def _from_json(told: dict[str, Any]) -> Refusal:
    kind, pk, full_name = told["subject"]
    principal = told["principal"]
    return Refusal(
        EventType(told["type"]),
        NamedSubject(kind, uuid.UUID(pk), full_name),
        NamedActor(uuid.UUID(principal[0]), principal[1]) if principal else None,
        told["data"],
    )
