"""Reading the audit log: who sees what of it, timelines, and copies of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.module_loading import import_string

from access.authz import require_visible
from access.models import User
from access.securables import Securable
from access.ways import is_able
from events.filters import EventFilter
from events.models import Event
from events.records import EventJson, csv_lines, event_json, json_lines
from events.services import emit
from events.subjects import INSTALLATION
from events.types import REFUSALS, EventType

FORMATS: dict[str, Callable[..., Iterator[str]]] = {
    "jsonl": json_lines,
    "csv": csv_lines,
}
_CHUNK = 1000
_ORIGIN = ("credential", "address", "user_agent")


def sees_everything(person: User) -> bool:
    return person.is_superuser or person.is_auditor


def keep_visible(events: QuerySet[Event], person: User) -> QuerySet[Event]:
    """Keep the events of what the person sees, is, or did; all for auditors.

    Call it after all other filters: every filter copies the conditions before it,
    and these are many.
    """
    if sees_everything(person):
        return events
    seen = import_string(settings.VISIBLE_SUBJECTS)(person)
    condition = Q(actor_id=person.pk) | Q(subject_id=person.pk)
    for kind, rows in seen.items():
        condition |= Q(subject_type=kind, subject_id__in=rows)
    return events.exclude(type__in=REFUSALS).filter(condition)


def shown(event: Event, person: User) -> EventJson:
    """Render an event; from where others did it is for auditors."""
    told = event_json(event)
    if not sees_everything(person) and event.actor_id != person.pk:
        for name in _ORIGIN:
            told[name] = ""  # type: ignore[literal-required]  # three of its keys
    return told


def timeline(
    securable: Securable, before: int | None = None, *, principal: User
) -> QuerySet[Event]:
    """Return what happened to an object and to what is in it, newest first.

    By its id, so under all names it ever had; `before` is the sequence where the last
    page ended. Raises NotFound where the object may not be seen.
    """
    require_visible(principal, securable)
    return told_below(securable, before, principal=principal)


def told_below(
    securable: Securable, before: int | None = None, *, principal: User
) -> QuerySet[Event]:
    """Return the timeline of an object that a principal was let to see.

    All of it, refusals too, for who may read its audit log; to others that of what
    they see in it.
    """
    events = events_below(securable)
    if before is not None:
        events = events.filter(sequence__lt=before)
    if is_able(principal, "read_audit", securable):
        return events
    return keep_visible(events, principal)


def events_below(securable: Securable) -> QuerySet[Event]:
    """Return the events of an object and of what is in it, newest first.

    A model is found by its id, which stays when it is renamed; a container by its
    name, which it keeps.
    """
    about = Q(subject_id=securable.pk)
    for rows in ("versions", "approval_requests"):
        if hasattr(securable, rows):
            about |= Q(subject_id__in=getattr(securable, rows).values("pk"))
    if securable._meta.model_name in {"catalog", "schema"}:
        about |= Q(subject_name__startswith=f"{securable.full_name}.")
    return Event.objects.filter(about).order_by("-sequence")


def begin_export(
    wanted: EventFilter, form: str, after: int, *, principal: User | None
) -> Iterator[str]:
    """Return the lines of a copy of what a principal sees, from a cursor on.

    Without a principal, who runs commands on the machine takes all. In the order of their sequence: give the last one as `after` to go on. The copy
    itself is an event, written before the first line.
    """
    visible = Event.objects.filter(sequence__gt=after).order_by("sequence")
    rows = wanted.narrow(visible)
    if principal is not None:
        rows = keep_visible(rows, principal)
    with transaction.atomic():
        asked = {k: str(v) for k, v in vars(wanted).items() if v}
        told = emit(
            EventType.AUDIT_EXPORTED,
            INSTALLATION,
            principal=principal,
            format=form,
            after=after,
            filter=asked,
        )
    chosen = rows.filter(sequence__lte=told.sequence).iterator(chunk_size=_CHUNK)
    if principal is None:
        return FORMATS[form](map(event_json, chosen))
    return FORMATS[form](shown(event, principal) for event in chosen)
