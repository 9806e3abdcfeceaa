"""A receiver that really listens, and webhooks that point at it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import transaction
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook as Verifier
from werkzeug import Request

from access.models import User
from events.models import Event
from events.services import emit
from events.types import EventType
from registry.models import RegisteredModel, Schema
from tests.factories import ModelFactory
from webhooks import services
from webhooks.models import Webhook


@pytest.fixture(autouse=True)
def _loopback_is_allowed(settings: LazySettings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8", "::1/128"]
    settings.WEBHOOK_ENRICHERS = {}
    settings.EVENT_SUBSCRIPTIONS = "greenlight.subscriptions.SUBSCRIPTIONS"


@pytest.fixture
def model(schema: Schema, owner: User, use: Callable[..., None]) -> RegisteredModel:
    """prod.fraud.scorer as a row alone: MLflow's tables outlive a real commit."""
    use(owner)
    return ModelFactory(schema=schema, name="scorer", owner=owner)


@pytest.fixture
def make_webhook(httpserver: HTTPServer, admin: User) -> Callable[..., Webhook]:
    """Create a webhook that points at the receiver."""

    def make(*, principal: User = admin, **options: Any) -> Webhook:
        url = options.pop("url", httpserver.url_for("/hook"))
        types = options.pop("event_types", ["alias.*"])
        return services.create_webhook(url, types, **options, principal=principal)

    return make


@pytest.fixture
def webhook(make_webhook: Callable[..., Webhook]) -> Webhook:
    """An admin's webhook for every move of an alias in the installation."""
    return make_webhook()


@pytest.fixture
def make_event(model: RegisteredModel, owner: User) -> Callable[..., Event]:
    """Emit an event about prod.fraud.scorer."""

    def make(type: EventType = EventType.ALIAS_SET, **data: Any) -> Event:  # noqa: A002
        data = data or {"alias": "Champion", "version": 2, "previous": 1}
        with transaction.atomic():
            return emit(type, model, principal=owner, **data)

    return make


@pytest.fixture
def event(make_event: Callable[..., Event]) -> Event:
    return make_event()


def verified(webhook: Webhook, request: Request) -> Any:
    """Return the body of a request after the signature was verified."""
    body = Verifier(webhook.secret_text).verify(request.data, dict(request.headers))
    assert body == json.loads(request.data)
    return body
