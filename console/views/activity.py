"""The log of everything that happened, as far as the person may see it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render

from access.audit import keep_visible, told_below
from console.objects import find_visible
from console.pages import SignedInRequest, page
from console.words import EVENT_TYPES
from events.models import Event

PAGE_SIZE = 50


@page
def activity(request: SignedInRequest) -> HttpResponse:
    """Show events, newest first, by subject, actor and type, page by page."""
    asked = {
        key: request.GET.get(key, "").strip() for key in ("subject", "actor", "type")
    }
    events = Event.objects.order_by("-sequence")
    if asked["subject"]:
        events = events.filter(subject_name__istartswith=asked["subject"])
    if asked["actor"]:
        events = events.filter(actor_name__iexact=asked["actor"])
    if asked["type"]:
        events = events.filter(type=asked["type"])
    context = {**_page_of(events, request), "asked": asked, "types": EVENT_TYPES}
    return render(request, "console/activity.html", context)


@page
def object_activity(
    request: SignedInRequest, kind: str, full_name: str
) -> HttpResponse:
    """Show what happened to an object and to what is in it, newest first."""
    found = find_visible(kind, full_name, request.user)
    events = told_below(found, principal=request.user)
    context = {**_page_of(events, request), "object": found}
    return render(request, "console/object_activity.html", context)


def _page_of(events: QuerySet[Event], request: SignedInRequest) -> dict[str, Any]:
    """Return the page that the address names, of the events that the person sees."""
    before = request.GET.get("before", "")
    if before.isdecimal():
        events = events.filter(sequence__lt=int(before))
    found = list(keep_visible(events, request.user)[: PAGE_SIZE + 1])
    return {"events": found[:PAGE_SIZE], "has_more": len(found) > PAGE_SIZE}
