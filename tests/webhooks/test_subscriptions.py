"""Who may subscribe, and what is owed to whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, transaction

from access.models import User
from access.privileges import Privilege
from core.errors import InvalidParameter, NotFound, PermissionDenied
from core.outbound import OutboundRefused
from events.models import Event
from events.services import emit
from events.types import EventType
from registry.models import RegisteredModel, Schema
from tests.webhooks.steps import (
    MakeEvent,
    MakeWebhook,
)
from webhooks import services
from webhooks.models import (
    Webhook,
)


def test_owner_subscribes_to_own_model(
    make_webhook: MakeWebhook, model: RegisteredModel, owner: User
) -> None:
    webhook = make_webhook(principal=owner, scope_type="model", scope=model.full_name)
    assert webhook.created_by == owner
    assert Event.objects.filter(type=EventType.WEBHOOK_CREATED).count() == 1


def test_grantee_of_manage_subscribes(
    make_webhook: MakeWebhook,
    schema: Schema,
    grantee: User,
    use: Callable[..., None],
) -> None:
    use(grantee, Privilege.MANAGE)
    webhook = make_webhook(
        principal=grantee, scope_type="schema", scope=schema.full_name
    )
    assert services.get_webhook(webhook.pk, principal=grantee) == webhook


def test_grantee_of_less_than_manage_may_not_subscribe(
    make_webhook: MakeWebhook,
    model: RegisteredModel,
    grantee: User,
    use: Callable[..., None],
) -> None:
    use(grantee, Privilege.EXECUTE)
    with pytest.raises(PermissionDenied, match="MANAGE"):
        make_webhook(principal=grantee, scope_type="model", scope=model.full_name)


@pytest.mark.parametrize(
    ("scope_type", "scope"),
    [
        ("catalog", "prod"),
        ("schema", "prod.fraud"),
        ("model", "prod.fraud.scorer"),
        ("model", "prod.fraud.no_such"),
    ],
)
@pytest.mark.usefixtures("model")
def test_stranger_may_not_subscribe_and_learns_nothing(
    make_webhook: MakeWebhook, stranger: User, scope_type: str, scope: str
) -> None:
    with pytest.raises(NotFound):
        make_webhook(principal=stranger, scope_type=scope_type, scope=scope)
    assert not Webhook.objects.exists()


def test_only_an_admin_subscribes_to_the_installation(
    make_webhook: MakeWebhook, admin: User, owner: User
) -> None:
    with pytest.raises(PermissionDenied):
        make_webhook(principal=owner)
    make_webhook(principal=admin)


def test_inner_url_is_refused(admin: User, settings: LazySettings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    for host in ("127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "169.254.169.254"):
        with pytest.raises(OutboundRefused):
            services.create_webhook(f"https://{host}/", ["*"], principal=admin)


def test_unknown_event_type_is_refused(make_webhook: MakeWebhook) -> None:
    with pytest.raises(InvalidParameter, match="aproval"):
        make_webhook(event_types=["aproval.*"])


def test_secret_is_not_stored_in_clear(webhook: Webhook) -> None:
    assert webhook.secret_text.startswith("whsec_")
    stored = Webhook.objects.get()
    assert stored.secret_text == ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM webhooks_webhook")
        assert webhook.secret_text not in str(cursor.fetchall())
    assert webhook.secret_text not in str(list(Event.objects.values()))


def test_fan_out_twice_makes_one_delivery(webhook: Webhook, event: Event) -> None:
    services.fan_out(event)
    services.fan_out(event)
    assert webhook.deliveries.count() == 1


@pytest.mark.parametrize(
    ("scope_type", "scope", "is_owed"),
    [
        ("installation", "", True),
        ("catalog", "prod", True),
        ("schema", "prod.fraud", True),
        ("model", "prod.fraud.scorer", True),
        ("model", "prod.fraud.score", False),
        ("catalog", "pro", False),
    ],
)
def test_scope_decides_what_is_owed(
    admin: User, event: Event, scope_type: str, scope: str, is_owed: bool
) -> None:
    Webhook.objects.create(
        url="https://example.com",
        event_types=["alias.set"],
        scope_type=scope_type,
        scope=scope,
        created_by=admin,
        created_at=event.created_at,
    )
    assert bool(services.fan_out(event)) == is_owed


def test_type_that_was_not_asked_for_is_not_owed(
    webhook: Webhook, make_event: MakeEvent
) -> None:
    assert services.fan_out(make_event(EventType.TAG_SET)) == []


def test_user_named_like_a_catalog_is_not_below_it(
    make_webhook: MakeWebhook, admin: User, catalog: Any
) -> None:
    make_webhook(scope_type="catalog", scope="prod", event_types=["principal.*"])
    with transaction.atomic():
        user = User.objects.create_user("prod")
        event = emit(EventType.PRINCIPAL_CREATED, user, principal=admin)
    assert services.fan_out(event) == []
