"""Webhooks: where events go, how well they arrive, and the log of every delivery."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import F, Q, Window
from django.db.models.functions import RowNumber
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from access.models import User
from console.pages import SignedInRequest, action, check_typed, page
from console.words import look_of_state
from core.errors import InvalidParameter, NotFound
from events.types import EventType
from webhooks import mlflow, payload, scopes, services
from webhooks.models import (
    Delivery,
    DeliveryStatus,
    Format,
    ScopeType,
    Webhook,
    WebhookStatus,
)
from webhooks.services.secrets import LONGEST_OVERLAP

PAGE_SIZE = 50
# the health strip: so many deliveries, none older than a day
_STRIP = 30
_STRIP_AGE = dt.timedelta(days=1)
_SHOWN = (
    ("all", "All"),
    (DeliveryStatus.PENDING, "Pending"),
    (DeliveryStatus.DELIVERED, "Delivered"),
    (DeliveryStatus.FAILED, "Failed"),
)
_VERBS = {
    "disable": (services.disable_webhook, "It is disabled; what it is owed waits."),
    "enable": (services.enable_webhook, "It is enabled, with what was pending."),
    "expire-secret": (services.expire_secret, "The old secret signs nothing more."),
}


# --- pages --------------------------------------------------------------------


@page
def webhooks(request: SignedInRequest) -> HttpResponse:
    """Show the webhooks that the person manages, with how well they do."""
    rows = scopes.managed(request.user).select_related("created_by")
    if after := _row_after(rows, request):
        rows = rows.filter(_older_than(after))
    found = list(rows.order_by("-created_at", "-pk")[: PAGE_SIZE + 1])
    strips = _strips(found[:PAGE_SIZE])
    context = {
        "webhooks": [(row, strips.get(row.pk, [])) for row in found[:PAGE_SIZE]],
        "has_more": len(found) > PAGE_SIZE,
        "last": found[PAGE_SIZE - 1] if len(found) > PAGE_SIZE else None,
    }
    return render(request, "console/webhooks.html", context)


@page
def new_webhook(request: SignedInRequest) -> HttpResponse:
    """Show the form that subscribes an address to events."""
    context = {
        "typed": request.POST or request.GET,
        "scope_types": ScopeType.choices,
        "formats": Format.choices,
        "event_types": sorted(EventType.values),
        "mlflow_types": sorted(mlflow.NAMES),
    }
    return render(request, "console/new_webhook.html", context)


@page
def webhook(request: SignedInRequest, webhook_id: UUID) -> HttpResponse:
    """Show one webhook: how it does, and its deliveries, newest first."""
    found = services.get_webhook(webhook_id, principal=request.user)
    shown = request.GET.get("show", "all")
    rows = found.deliveries.select_related("event")
    if shown in DeliveryStatus.values:
        rows = rows.filter(status=shown)
    if after := _row_after(rows, request):
        rows = rows.filter(_older_than(after))
    deliveries = list(rows.order_by("-created_at", "-pk")[: PAGE_SIZE + 1])
    context = {
        "webhook": found,
        "strip": _strips([found]).get(found.pk, []),
        "deliveries": deliveries[:PAGE_SIZE],
        "last": deliveries[PAGE_SIZE - 1] if len(deliveries) > PAGE_SIZE else None,
        "shown": shown,
        "tabs": _SHOWN,
        "typed": request.POST,
        "day_ago": timezone.now() - dt.timedelta(days=1),
    }
    return render(request, "console/webhook.html", context)


@page
def webhook_settings(request: SignedInRequest, webhook_id: UUID) -> HttpResponse:
    """Show what of a webhook can be changed: address, types, secret, life."""
    found = services.get_webhook(webhook_id, principal=request.user)
    context = {
        "webhook": found,
        "object": found,
        "typed": request.POST,
        "is_active": found.status == WebhookStatus.ACTIVE,
    }
    return render(request, "console/webhook_settings.html", context)


@page
def delivery(
    request: SignedInRequest, webhook_id: UUID, delivery_id: UUID
) -> HttpResponse:
    """Show one delivery: what is sent, and every attempt with its answer."""
    found = _delivery(request, webhook_id, delivery_id)
    context = {
        "delivery": found,
        "webhook": found.webhook,
        "payload": _payload_for(found, request.user),
        "attempts": found.attempts.order_by("-number"),
        "is_active": found.webhook.status == WebhookStatus.ACTIVE,
    }
    return render(request, "console/delivery.html", context)


# --- actions ------------------------------------------------------------------


@action(shown_on=new_webhook)
def create_webhook(request: SignedInRequest) -> HttpResponse:
    """Subscribe, and show the secret this once."""
    sent = request.POST
    made = services.create_webhook(
        sent.get("url", "").strip(),
        _patterns(sent.get("event_types", "")),
        scope_type=_one_of(ScopeType, sent.get("scope_type", ""), "scope_type"),
        scope=sent.get("scope", "").strip(),
        description=_short(sent.get("description", "")),
        body_format=_one_of(Format, sent.get("format", Format.STANDARD), "format"),
        is_ordered="ordered" in sent,
        secret=sent.get("secret", "").strip(),
        principal=request.user,
    )
    return render(request, "console/webhook_secret.html", {"webhook": made})


@action(shown_on=webhook_settings)
def update_webhook(request: SignedInRequest, webhook_id: UUID) -> HttpResponse:
    """Change the address, the types, the words, the order."""
    found = services.get_webhook(webhook_id, principal=request.user)
    sent = request.POST
    changes = {
        "url": sent.get("url", "").strip(),
        "event_types": _patterns(sent.get("event_types", "")),
        "description": _short(sent.get("description", "")),
        "is_ordered": "ordered" in sent,
        "max_in_flight": _number(sent.get("max_in_flight", ""), "max_in_flight"),
    }
    services.update_webhook(found, changes, principal=request.user)
    messages.success(request, "The webhook was changed.")
    return redirect("console:webhook", webhook_id)


@action(shown_on=webhook_settings)
def rotate_secret(request: SignedInRequest, webhook_id: UUID) -> HttpResponse:
    """Make a new secret, and show it this once."""
    found = services.get_webhook(webhook_id, principal=request.user)
    hours = _number(request.POST.get("hours", "24"), "hours")
    if not 0 <= hours <= LONGEST_OVERLAP.total_seconds() // 3600:
        raise InvalidParameter("hours must be from 0 to 168, a week.")
    services.rotate_secret(
        found,
        overlap=dt.timedelta(hours=hours),
        secret=request.POST.get("secret", "").strip(),
        principal=request.user,
    )
    return render(request, "console/webhook_secret.html", {"webhook": found})


@action(
    shown_on=lambda request, webhook_id, verb: webhook_settings(request, webhook_id)
)
def steer_webhook(
    request: SignedInRequest, webhook_id: UUID, verb: str
) -> HttpResponse:
    """Disable, enable, or end the old secret."""
    if verb not in _VERBS:
        raise NotFound(f"A webhook cannot be steered by {verb!r}.")
    act, words = _VERBS[verb]
    found = services.get_webhook(webhook_id, principal=request.user)
    act(found, principal=request.user)
    messages.success(request, words)
    return redirect("console:webhook_settings", webhook_id)


@action(shown_on=webhook_settings)
def delete_webhook(request: SignedInRequest, webhook_id: UUID) -> HttpResponse:
    """Delete a webhook after its name was typed."""
    found = services.get_webhook(webhook_id, principal=request.user)
    check_typed(request, found.full_name)
    services.delete_webhook(found, principal=request.user)
    messages.success(request, f"{found.full_name} was deleted.")
    return redirect("console:webhooks")


@action(shown_on=webhook)
def ping_webhook(request: SignedInRequest, webhook_id: UUID) -> HttpResponse:
    """Send a test, and show what becomes of it."""
    found = services.get_webhook(webhook_id, principal=request.user)
    sent = services.ping_webhook(found, principal=request.user)
    messages.success(request, "The test is on its way; reload to see the answer.")
    return redirect("console:delivery", webhook_id, sent.pk)


@action(shown_on=webhook)
def redeliver_failed(request: SignedInRequest, webhook_id: UUID) -> HttpResponse:
    """Send again all that was given up since a moment, in UTC."""
    found = services.get_webhook(webhook_id, principal=request.user)
    since = _moment(request.POST.get("since", ""))
    count = services.redeliver_failed(found, since, principal=request.user)
    messages.success(request, f"{count} deliveries are sent again.")
    return redirect("console:webhook", webhook_id)


@action(shown_on=delivery)
def redeliver(
    request: SignedInRequest, webhook_id: UUID, delivery_id: UUID
) -> HttpResponse:
    """Send the event of a delivery again, under the same id."""
    found = _delivery(request, webhook_id, delivery_id)
    services.redeliver(found, principal=request.user)
    messages.success(request, "It is sent again, under the same id.")
    return redirect("console:delivery", webhook_id, delivery_id)


# --- small change -------------------------------------------------------------


def _delivery(
    request: SignedInRequest, webhook_id: UUID, delivery_id: UUID
) -> Delivery:
    found = services.get_delivery(delivery_id, principal=request.user)
    if found.webhook_id != webhook_id:
        raise NotFound(f"No delivery {delivery_id} of that webhook.")
    return found


def _payload_for(delivery: Delivery, person: User) -> str:
    """Return the body for a person who may see the event, else nothing."""
    if not scopes.may_see(person, delivery.event):
        return ""
    body = payload.preview_of(delivery)
    return json.dumps(body, indent=2, ensure_ascii=False, default=str)


def _strips(webhooks: list[Webhook]) -> dict[UUID, list[dict[str, Any]]]:
    """Return the marks of the health strip of each webhook, the oldest first."""
    newest = Window(
        RowNumber(), partition_by=F("webhook"), order_by=F("created_at").desc()
    )
    recent = Delivery.objects.filter(
        webhook__in=webhooks, created_at__gte=timezone.now() - _STRIP_AGE
    )
    rows = recent.annotate(place=newest).filter(place__lte=_STRIP).order_by("-place")
    strips: dict[UUID, list[dict[str, Any]]] = {}
    for webhook_id, status in rows.values_list("webhook_id", "status"):
        marks = strips.setdefault(webhook_id, [])
        marks.append({"x": len(marks) * 6, "tone": look_of_state(status).tone})
    return strips


def _row_after(rows: Any, request: SignedInRequest) -> Any:
    """Return the row after which the page begins, if the address names one."""
    try:
        return rows.filter(pk=UUID(request.GET.get("after", ""))).first()
    except ValueError:
        return None


def _older_than(row: Any) -> Q:
    return Q(created_at__lt=row.created_at) | Q(
        created_at=row.created_at, pk__lt=row.pk
    )


def _patterns(text: str) -> list[str]:
    found = [part for part in re.split(r"[\s,]+", text) if part]
    if len(found) > 50 or any(not re.fullmatch(r"[a-z_.*?]{1,64}", p) for p in found):
        raise InvalidParameter(
            "event_types: up to 50 patterns of a-z, _, ., * and ?, such as alias.*."
        )
    return found


def _one_of(choices: Any, value: str, name: str) -> str:
    if value not in choices.values:
        raise InvalidParameter(f"{name} must be one of {', '.join(choices.values)}.")
    return value


def _short(text: str) -> str:
    if len(text.strip()) > 500:
        raise InvalidParameter("description: 500 characters at most.")
    return text.strip()


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 7):
        raise InvalidParameter(f"{name} must be a whole number.")
    return int(text)


def _moment(text: str) -> dt.datetime:
    """Read what a browser sends for a date with a time, as UTC."""
    try:
        moment = parse_datetime(text.strip())
    except ValueError as error:
        raise InvalidParameter("since: there is no such moment.") from error
    if moment is None:
        raise InvalidParameter("since: say from when on, as 2026-01-31T12:00.")
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
