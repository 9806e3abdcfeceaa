"""What is sent, what becomes of a failure, and what is done by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.conf import LazySettings
from pytest_httpserver import HTTPServer
from standardwebhooks import WebhookVerificationError

from access import services as access
from access.models import User
from access.privileges import Privilege
from core.errors import Conflict, NotFound
from events.models import Event
from events.types import EventType
from registry import services as registry
from registry.models import RegisteredModel, Schema
from tests.webhooks.conftest import verified
from tests.webhooks.steps import (
    HOOK,
    MakeEvent,
    MakeWebhook,
    attempt,
    claim,
    get_through,
    make_due,
    owed,
)
from webhooks import services
from webhooks.models import (
    Delivery,
    DeliveryStatus,
    Webhook,
    WebhookStatus,
)
from webhooks.services import attempts

# --- what is sent ---------------------------------------------------------------


def test_signature_verifies_with_standard_webhooks(
    webhook: Webhook, event: Event, httpserver: HTTPServer, owner: User
) -> None:
    httpserver.expect_request(HOOK, method="POST").respond_with_data("thanks")
    delivery = owed(event)

    done = attempt(delivery)

    request, _ = httpserver.log[0]
    body = verified(webhook, request)
    assert request.headers["webhook-id"] == str(event.id)
    assert body["type"] == "alias.set"
    assert dt.datetime.fromisoformat(body["timestamp"]) == event.created_at
    assert body["data"]["version"] == 2
    assert body["data"]["event_id"] == str(event.id)
    assert body["data"]["subject"]["full_name"] == "prod.fraud.scorer"
    assert body["data"]["actor"] == {"id": str(owner.id), "name": "owner"}
    assert delivery.status == DeliveryStatus.DELIVERED
    assert (done.number, done.status_code, done.response_head) == (1, 200, "thanks")


def test_other_secret_does_not_verify(
    make_webhook: MakeWebhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(HOOK).respond_with_data("")
    make_webhook()
    attempt(owed(make_event()))
    other = make_webhook()
    request, _ = httpserver.log[0]
    with pytest.raises(WebhookVerificationError):
        verified(other, request)


def enrich(event: Event, webhook_id: UUID, subscriber: User) -> dict[str, Any]:
    return {"callback": {"url": f"https://gl/{event.type}/{webhook_id}"}}


def test_enricher_of_the_type_adds_to_the_data(
    webhook: Webhook, event: Event, httpserver: HTTPServer, settings: LazySettings
) -> None:
    settings.WEBHOOK_ENRICHERS = {"alias.set": f"{__name__}.enrich"}
    httpserver.expect_request(HOOK).respond_with_data("")
    attempt(owed(event))
    body = verified(webhook, httpserver.log[0][0])
    assert body["data"]["callback"]["url"] == f"https://gl/alias.set/{webhook.id}"


def test_creator_who_may_no_longer_see_the_subject_gets_nothing(
    make_webhook: MakeWebhook,
    schema: Schema,
    grantee: User,
    admin: User,
    use: Callable[..., None],
    make_event: MakeEvent,
    httpserver: HTTPServer,
) -> None:
    use(grantee, Privilege.MANAGE)
    webhook = make_webhook(
        principal=grantee, scope_type="schema", scope=schema.full_name
    )
    delivery = owed(make_event())
    access.revoke(schema, Privilege.MANAGE, grantee, principal=admin)

    done = attempt(delivery)

    assert "may not see" in done.error
    assert delivery.status == DeliveryStatus.FAILED
    assert httpserver.log == []
    webhook.refresh_from_db()
    assert webhook.failing_since is None


def test_creator_who_left_gets_nothing(
    webhook: Webhook, event: Event, admin: User, httpserver: HTTPServer
) -> None:
    User.objects.filter(pk=admin.pk).update(is_active=False)
    delivery = owed(event)
    attempt(delivery)
    assert delivery.status == DeliveryStatus.FAILED
    assert httpserver.log == []


def test_version_is_sent_to_who_may_see_its_model(
    make_webhook: MakeWebhook,
    schema: Schema,
    owner: User,
    use: Callable[..., None],
    make_version: Callable[..., Any],
    httpserver: HTTPServer,
) -> None:
    use(owner, Privilege.CREATE_MODEL)
    model = registry.create_model("prod.fraud.ranker", principal=owner)
    make_webhook(
        principal=owner,
        scope_type="model",
        scope=model.full_name,
        event_types=["model_version.ready"],
    )
    httpserver.expect_request(HOOK).respond_with_data("")
    make_version(model)
    delivery = owed(Event.objects.get(type=EventType.MODEL_VERSION_READY))
    attempt(delivery)
    assert delivery.status == DeliveryStatus.DELIVERED


# --- what becomes of a failure --------------------------------------------------


def test_receiver_that_was_down_gets_the_same_id_later(
    webhook: Webhook, event: Event, httpserver: HTTPServer
) -> None:
    httpserver.expect_ordered_request(HOOK).respond_with_data("down", 503)
    httpserver.expect_ordered_request(HOOK).respond_with_data("up", 200)
    delivery = owed(event)

    failed = attempt(delivery)
    assert failed.status_code == 503
    assert delivery.status == DeliveryStatus.PENDING
    assert services.attempt(delivery) is None  # not due yet
    webhook.refresh_from_db()
    assert webhook.failing_since is not None
    with time_machine.travel(delivery.next_attempt_at + dt.timedelta(seconds=1)):
        attempt(delivery)
        verified(webhook, httpserver.log[1][0])

    assert delivery.status == DeliveryStatus.DELIVERED
    ids = [request.headers["webhook-id"] for request, _ in httpserver.log]
    assert ids == [str(event.id)] * 2
    attempts = [request.headers["webhook-attempt"] for request, _ in httpserver.log]
    assert attempts == ["1", "2"]
    assert [a.number for a in delivery.attempts.all()] == [1, 2]
    webhook.refresh_from_db()
    assert webhook.failing_since is None


def test_refused_connection_is_a_failed_attempt(
    webhook: Webhook, event: Event, httpserver: HTTPServer
) -> None:
    Webhook.objects.update(url="http://127.0.0.1:1/")
    delivery = owed(event)
    done = attempt(delivery)
    assert done.status_code is None
    assert "could not be called" in done.error
    assert delivery.status == DeliveryStatus.PENDING


def test_redirect_is_a_failure_and_not_followed(
    webhook: Webhook, event: Event, httpserver: HTTPServer
) -> None:
    target = httpserver.url_for("/elsewhere")
    httpserver.expect_request(HOOK).respond_with_data("", 302, {"Location": target})
    delivery = owed(event)
    assert attempt(delivery).status_code == 302
    assert delivery.status == DeliveryStatus.PENDING
    assert len(httpserver.log) == 1


def test_address_that_became_an_inner_one_is_not_called(
    webhook: Webhook, event: Event, httpserver: HTTPServer, settings: LazySettings
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    assert attempt(owed(event)).status_code is None
    assert httpserver.log == []


@pytest.mark.parametrize(("failures", "pause"), list(enumerate(attempts.RETRY_AFTER)))
def test_pauses_grow_and_are_spread(failures: int, pause: dt.timedelta) -> None:
    pauses = [services.pause_after(failures) for _ in range(50)]
    assert all(pause * 0.8 <= one <= pause * 1.2 for one in pauses)
    assert len(set(pauses)) > 1


def test_delivery_is_given_up_after_the_last_retry(
    webhook: Webhook, event: Event, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(HOOK).respond_with_data("", 500)
    delivery = owed(event)
    for _ in range(len(attempts.RETRY_AFTER)):
        attempt(delivery)
        assert delivery.status == DeliveryStatus.PENDING
        make_due(delivery)
        get_through(delivery)
    attempt(delivery)
    assert delivery.status == DeliveryStatus.FAILED
    assert delivery.attempts.count() == len(attempts.RETRY_AFTER) + 1


def test_410_disables_the_webhook(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(HOOK).respond_with_data("", 410)
    delivery, waiting = owed(make_event()), owed(make_event())

    attempt(delivery)

    webhook.refresh_from_db()
    assert webhook.status == WebhookStatus.DISABLED
    assert Event.objects.get(type=EventType.WEBHOOK_DISABLED).actor_name == "system"
    assert services.attempt(waiting) is None
    assert services.fan_out(make_event()) == []


def test_webhook_that_failed_for_five_days_is_disabled(
    webhook: Webhook, event: Event, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(HOOK).respond_with_data("", 500)
    long_ago = event.created_at - dt.timedelta(days=5, minutes=1)
    Webhook.objects.update(failing_since=long_ago)
    attempt(owed(event))
    webhook.refresh_from_db()
    assert webhook.status == WebhookStatus.DISABLED


def test_outcome_that_comes_after_another_one_moves_nothing(
    webhook: Webhook, event: Event, httpserver: HTTPServer
) -> None:
    httpserver.expect_ordered_request(HOOK).respond_with_data("", 200)
    httpserver.expect_ordered_request(HOOK).respond_with_data("", 500)
    delivery = owed(event)
    slow = claim(delivery)
    Delivery.objects.update(lease_until=delivery.created_at)

    attempt(delivery)
    services.send(slow)

    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.DELIVERED
    assert [a.status_code for a in delivery.attempts.all()] == [500, 200]


# --- by hand --------------------------------------------------------------------


def test_redelivery_sends_the_same_id_again(
    webhook: Webhook, event: Event, httpserver: HTTPServer, admin: User
) -> None:
    httpserver.expect_request(HOOK).respond_with_data("")
    delivery = owed(event)
    attempt(delivery)

    services.redeliver(delivery, principal=admin)
    attempt(delivery)

    ids = {request.headers["webhook-id"] for request, _ in httpserver.log}
    assert ids == {str(event.id)}
    assert len(httpserver.log) == 2


def test_redelivery_of_what_waits_makes_it_due(
    webhook: Webhook, event: Event, httpserver: HTTPServer, admin: User
) -> None:
    httpserver.expect_request(HOOK).respond_with_data("", 500)
    delivery = owed(event)
    attempt(delivery)
    services.redeliver(delivery, principal=admin)
    assert claim(delivery)


def test_disabled_webhook_gets_no_redelivery(
    webhook: Webhook, event: Event, admin: User
) -> None:
    delivery = owed(event)
    services.disable_webhook(webhook, principal=admin)
    delivery.refresh_from_db()
    with pytest.raises(Conflict, match="disabled"):
        services.redeliver(delivery, principal=admin)


def test_owner_and_manager_of_the_scope_may_stop_a_webhook(
    make_webhook: MakeWebhook,
    model: RegisteredModel,
    owner: User,
    grantee: User,
    use: Callable[..., None],
) -> None:
    scope = {"scope_type": "model", "scope": model.full_name}
    use(grantee, Privilege.MANAGE)
    services.disable_webhook(make_webhook(principal=grantee, **scope), principal=owner)
    services.disable_webhook(make_webhook(principal=owner, **scope), principal=grantee)
    assert not Webhook.objects.filter(status=WebhookStatus.ACTIVE).exists()


def test_stranger_knows_of_no_webhook(
    webhook: Webhook, event: Event, stranger: User
) -> None:
    delivery = owed(event)
    with pytest.raises(NotFound):
        services.get_webhook(webhook.pk, principal=stranger)
    with pytest.raises(NotFound):
        services.get_delivery(delivery.pk, principal=stranger)
    with pytest.raises(NotFound):
        services.disable_webhook(webhook, principal=stranger)
    with pytest.raises(NotFound):
        services.redeliver(delivery, principal=stranger)
