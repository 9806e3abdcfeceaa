"""The log of everything that happened, as far as the person may see it."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render

from access import audit
from console.objects import find_visible
from console.pages import SignedInRequest, page
from console.words import EVENT_TYPES
from core.errors import InvalidParameter, PermissionDenied
from events import health
from events.filters import EventFilter
from events.models import Event
from events.types import Outcome

PAGE_SIZE = 50
_FILTERS = ("subject", "actor", "type", "outcome", "since", "until")
_CONTENT_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


@page
def activity(request: SignedInRequest) -> HttpResponse:
    """Show events, newest first, by who, what, when and how it ended."""
    asked = {key: request.GET.get(key, "").strip() for key in _FILTERS}
    events = _filter(asked).narrow(Event.objects.order_by("-sequence"))
    if before := _before(request):
        events = events.filter(sequence__lt=before)
    seen = audit.keep_visible(events, request.user)
    context = {
        **_page_of(seen),
        "asked": asked,
        "is_asked": any(asked.values()),
        "types": EVENT_TYPES,
        "outcomes": Outcome.choices,
        "sees_everything": audit.sees_everything(request.user),
    }
    return render(request, "console/activity.html", context)


@page
def export_activity(request: SignedInRequest, form: str) -> HttpResponse:
    """Send all events that fit the filter, oldest first; that is an event, too."""
    if form not in _CONTENT_TYPES:
        raise InvalidParameter(f"There is no export as {form}; take csv or jsonl.")
    asked = {key: request.GET.get(key, "").strip() for key in _FILTERS}
    lines = audit.begin_export(_filter(asked), form, 0, principal=request.user)
    response: Any = StreamingHttpResponse(
        lines,
        content_type=_CONTENT_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="events.{form}"'},
    )
    return cast("HttpResponse", response)


@page
def audit_log(request: SignedInRequest) -> HttpResponse:
    """Show auditors whether the log is whole, signed, shipped and archived."""
    if not audit.sees_everything(request.user):
        raise PermissionDenied("This page is for auditors and admins.")
    return render(request, "console/audit_log.html", {"health": health.look()})


@page
def object_activity(
    request: SignedInRequest, kind: str, full_name: str
) -> HttpResponse:
    """Show what happened to an object and to what is in it, newest first."""
    found = find_visible(kind, full_name, request.user)
    events = audit.told_below(found, _before(request), principal=request.user)
    return render(
        request, "console/object_activity.html", {**_page_of(events), "object": found}
    )


def _filter(asked: dict[str, str]) -> EventFilter:
    """Return the filter of a form; a day that it ends with is part of it."""
    until = _day("until", asked["until"])
    return EventFilter(
        subject=asked["subject"],
        actor=asked["actor"],
        type=asked["type"],
        outcome=asked["outcome"],
        since=_day("since", asked["since"]),
        until=until + dt.timedelta(days=1) if until else None,
    )


def _day(field: str, text: str) -> dt.datetime | None:
    if not text:
        return None
    try:
        day = dt.date.fromisoformat(text)
        return dt.datetime.combine(day, dt.time(), dt.UTC)
    except ValueError as error:
        raise InvalidParameter(
            f"{field} {text!r} is no day; give 2026-01-31."
        ) from error


def _before(request: SignedInRequest) -> int | None:
    before = request.GET.get("before", "")
    return int(before) if before.isdecimal() and len(before) < 19 else None


def _page_of(events: QuerySet[Event]) -> dict[str, Any]:
    found = list(events[: PAGE_SIZE + 1])
    return {"events": found[:PAGE_SIZE], "has_more": len(found) > PAGE_SIZE}
