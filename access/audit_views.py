"""REST of the audit log: pages, timelines and copies of it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponseBase, StreamingHttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access import audit
from access.authentication import caller
from access.models import User
from access.securables import find_securable
from access.shapes import EventsJson
from core.http import read_page_token, sign_page_token
from core.openapi import FILE, operation
from core.serializers import InputSerializer
from events.filters import EventFilter
from events.models import Event
from events.types import Outcome

_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
_FILTERS = ("type", "actor", "subject", "outcome", "since", "until")


class FilterSerializer(InputSerializer):
    """What to keep of the log; all of it without."""

    type = serializers.CharField(max_length=64, default="")
    actor = serializers.CharField(max_length=150, default="")
    subject = serializers.CharField(max_length=800, default="")
    outcome = serializers.ChoiceField(choices=Outcome.choices, default="")
    since = serializers.DateTimeField(default=None)
    until = serializers.DateTimeField(default=None)


class EventsQuerySerializer(FilterSerializer):
    """A page of the log."""

    max_results = serializers.IntegerField(min_value=1, max_value=1000, default=100)
    page_token = serializers.CharField(max_length=1000, default="", allow_blank=True)


class TimelineQuerySerializer(InputSerializer):
    """A page of what happened to one object."""

    max_results = serializers.IntegerField(min_value=1, max_value=1000, default=100)
    page_token = serializers.CharField(max_length=1000, default="", allow_blank=True)


class ExportQuerySerializer(FilterSerializer):
    """A copy of the log; `after` is the sequence of the last line one has."""

    format = serializers.ChoiceField(choices=sorted(_TYPES), default="jsonl")
    after = serializers.IntegerField(min_value=0, max_value=2**62, default=0)


class EventList(APIView):
    """What happened, newest first, as far as the caller may see it."""

    @operation(
        "List events, newest first.", query=EventsQuerySerializer, answer=EventsJson
    )
    def get(self, request: Request) -> Response:
        asked = EventsQuerySerializer.read(request.query_params)
        events = _filter(asked).narrow(Event.objects.order_by("-sequence"))
        before = _before(asked, "events")
        if before is not None:
            events = events.filter(sequence__lt=before)
        seen = audit.keep_visible(events, caller(request))
        return Response(_page(seen, asked, "events", caller(request)))


class EventExport(APIView):
    """The events that the caller may see, oldest first, as one stream."""

    @operation("Take a copy of events.", query=ExportQuerySerializer, answer=FILE)
    def get(self, request: Request) -> HttpResponseBase:
        asked = ExportQuerySerializer.read(request.query_params)
        lines = audit.begin_export(
            _filter(asked), asked["format"], asked["after"], principal=caller(request)
        )
        name = f"events.{asked['format']}"
        return StreamingHttpResponse(
            lines,
            content_type=_TYPES[asked["format"]],
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


class ObjectTimeline(APIView):
    """What happened to one object, under all names it had, and to what is in it."""

    @operation(
        "List what happened to an object, newest first.",
        query=TimelineQuerySerializer,
        answer=EventsJson,
    )
    def get(self, request: Request, securable_type: str, full_name: str) -> Response:
        asked = TimelineQuerySerializer.read(request.query_params)
        found = find_securable(securable_type, full_name)
        purpose = f"timeline:{found.pk}"
        before = _before(asked, purpose)
        events = audit.timeline(found, before, principal=caller(request))
        return Response(_page(events, asked, purpose, caller(request)))


def _filter(asked: dict[str, Any]) -> EventFilter:
    return EventFilter(**{name: asked[name] for name in _FILTERS})


def _before(asked: dict[str, Any], purpose: str) -> int | None:
    token = asked["page_token"]
    return read_page_token(token, purpose=purpose) if token else None


def _page(
    events: QuerySet[Event], asked: dict[str, Any], purpose: str, person: User
) -> dict[str, Any]:
    found = list(events[: asked["max_results"] + 1])
    page = found[: asked["max_results"]]
    answer: dict[str, Any] = {"events": [audit.shown(e, person) for e in page]}
    if len(found) > len(page):
        token = sign_page_token(page[-1].sequence, purpose=purpose)
        answer["next_page_token"] = token
    return answer
