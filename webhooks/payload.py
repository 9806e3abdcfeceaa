"""The body of a delivery in the format of its webhook, built when it is sent."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from events.models import Event
from events.types import EventType
from webhooks import mlflow
from webhooks.models import Delivery, Format

CONTENT_TYPES = {
    Format.STANDARD: "application/json",
    Format.CLOUDEVENTS: "application/cloudevents+json",
    Format.MLFLOW: "application/json",
}


def body_of(delivery: Delivery) -> bytes:
    """Return the JSON body: the event's own data, who did it, and to what.

    `settings.WEBHOOK_ENRICHERS` names, by event type, a function of the event,
    the webhook's id and its creator, whose answer is added to the data.
    """
    event, more = delivery.event, {}
    wants_more = delivery.webhook.format != Format.MLFLOW
    if wants_more and (enricher := settings.WEBHOOK_ENRICHERS.get(event.type)):
        more = import_string(enricher)(
            event, delivery.webhook_id, delivery.webhook.created_by
        )
    return encoded(delivery, shape(delivery, more))


def preview_of(delivery: Delivery) -> dict[str, Any]:
    """Return the body for a person to read, without what only the receiver gets."""
    return shape(delivery, {})


def shape(delivery: Delivery, more: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a delivery, with `more` in its data."""
    event = delivery.event
    if delivery.webhook.format == Format.MLFLOW:
        return _for_mlflow(delivery)
    data = {**data_of(event), **more}
    if delivery.webhook.format == Format.CLOUDEVENTS:
        return _cloudevent(event, data)
    return {
        "type": event.type,
        "timestamp": event.created_at.isoformat(),
        "data": data,
    }


def encoded(delivery: Delivery, body: dict[str, Any]) -> bytes:
    """Return a body as bytes; MLflow's with the white space that MLflow sends."""
    if delivery.webhook.format == Format.MLFLOW:
        return json.dumps(body).encode()
    return json.dumps(body, separators=(",", ":"), default=str).encode()


def data_of(event: Event) -> dict[str, Any]:
    """Return what every body tells of an event."""
    return {
        **event.data,
        "event_id": str(event.id),
        "sequence": event.sequence,
        "subject": {
            "type": event.subject_type,
            "id": str(event.subject_id),
            "full_name": event.subject_name,
        },
        "actor": {
            "id": str(event.actor_id) if event.actor_id else None,
            "name": event.actor_name,
        },
    }


def _cloudevent(event: Event, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(event.id),
        "source": settings.PUBLIC_URL,
        "type": f"greenlight.{event.type}",
        "subject": event.subject_name,
        "time": event.created_at.isoformat(),
        "datacontenttype": "application/json",
        "data": data,
    }


def _for_mlflow(delivery: Delivery) -> dict[str, Any]:
    event = delivery.event
    if event.type != EventType.WEBHOOK_PINGED:
        return mlflow.body_of(event, mlflow.name_of(event))
    patterns = delivery.webhook.event_types
    asked_for = (n for n in mlflow.EXAMPLES if any(fnmatchcase(n, p) for p in patterns))
    return mlflow.example_body(event, next(asked_for))
