"""The body of a delivery, built when it is sent."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from webhooks.models import Delivery


def body_of(delivery: Delivery) -> bytes:
    """Return the JSON body: the event's own data, who did it, and to what.

    `settings.WEBHOOK_ENRICHERS` names, by event type, a function of the event,
    the webhook's id and its creator, whose answer is added to the data.
    """
    event = delivery.event
    data: dict[str, Any] = {
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
    if enricher := settings.WEBHOOK_ENRICHERS.get(event.type):
        data |= import_string(enricher)(
            event, delivery.webhook_id, delivery.webhook.created_by
        )
    body = {
        "type": event.type,
        "timestamp": event.created_at.isoformat(),
        "data": data,
    }
    return json.dumps(body, separators=(",", ":"), default=str).encode()
