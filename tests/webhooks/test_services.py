"""Who may subscribe, what is sent to whom, and what becomes of a failure."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.conf import LazySettings
from django.db import connection, transaction
from pytest_httpserver import HTTPServer
from standardwebhooks import WebhookVerificationError

from access import services as access
from access.models import User
from access.privileges import Privilege
from core.errors import Conflict, InvalidParameter, NotFound, PermissionDenied
from core.outbound import OutboundRefused
from events.models import Event
from events.services import emit
from events.types import EventType
from registry import services as registry
from registry.models import RegisteredModel, Schema
from tests.webhooks.conftest import verified
from webhooks import services
from webhooks.models import (
    Attempt,
    Delivery,
    DeliveryStatus,
    Webhook,
    WebhookStatus,
)
from webhooks.services import attempts

HOOK = "/hook"
MakeEvent = Callable[..., Event]
MakeWebhook = Callable[..., Webhook]


def owed(event: Event) -> Delivery:
    """Fan an event out that exactly one webhook wants."""
    (delivery,) = services.fan_out(event)
    return delivery


def attempt(delivery: Delivery) -> Attempt:
    """Attempt a delivery that is due, and bring the row up to date."""
    done = services.attempt(delivery)
    assert done is not None
    delivery.refresh_from_db()
    return done


def make_due(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=delivery.created_at)


def get_through(delivery: Delivery) -> None:
    """Let the receiver have taken something else meanwhile: it is not down."""
    rows = Webhook.objects.filter(pk=delivery.webhook_id)
    rows.update(failing_since=None, failures_in_a_row=0, paused_until=None)


def claim(delivery: Delivery) -> list[Delivery]:
    return services.claim(delivery.webhook_id, 1, only=delivery.pk)


# --- who may subscribe ----------------------------------------------------------


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


# --- what is owed to whom -------------------------------------------------------


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


# --- claims ---------------------------------------------------------------------


def test_claimed_delivery_is_nobody_elses_until_the_lease_ends(
    webhook: Webhook, event: Event
) -> None:
    delivery = owed(event)
    assert claim(delivery)
    assert claim(delivery) == []
    with time_machine.travel(event.created_at + dt.timedelta(seconds=90)):
        (again,) = claim(delivery)
    assert again.attempts_begun == 2


@pytest.mark.django_db(transaction=True)
def test_one_of_many_claims_wins(webhook: Webhook, make_event: MakeEvent) -> None:
    for _ in range(3):
        owed(make_event())
    barrier, won = threading.Barrier(8), []

    def race() -> None:
        try:
            barrier.wait()
            won.append([one.pk for one in services.claim(webhook.pk, 1)])
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed = [pk for pks in won for pk in pks]
    assert len(claimed) == len(set(claimed)) == 3


def test_receiver_gets_few_requests_at_a_time(
    make_webhook: MakeWebhook, make_event: MakeEvent
) -> None:
    webhook = make_webhook(max_in_flight=2)
    for _ in range(3):
        owed(make_event())
    assert [len(services.claim(webhook.pk, 1)) for _ in range(3)] == [1, 1, 0]


def test_failing_receiver_gets_one_request_at_a_time(
    webhook: Webhook, make_event: MakeEvent
) -> None:
    Webhook.objects.update(failing_since=webhook.created_at)
    owed(make_event()), owed(make_event())
    assert len(services.claim(webhook.pk)) == 1
    assert services.claim(webhook.pk) == []


def test_what_was_claimed_and_not_begun_is_given_back(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(HOOK).respond_with_data("", 500)
    first, second = owed(make_event()), owed(make_event())
    services.send(services.claim(webhook.pk))
    second.refresh_from_db()
    assert len(httpserver.log) == 1
    assert (second.lease_until, second.attempts_begun) == (None, 0)
    first.refresh_from_db()
    assert (first.failures, first.attempts_begun) == (1, 1)


def test_several_are_sent_over_one_connection(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(HOOK).respond_with_data("")
    for _ in range(3):
        owed(make_event())
    services.send(services.claim(webhook.pk))
    done = webhook.deliveries.filter(status=DeliveryStatus.DELIVERED)
    assert done.count() == len(httpserver.log) == 3


def test_every_webhook_that_is_owed_something_has_its_turn(
    make_webhook: MakeWebhook, make_event: MakeEvent
) -> None:
    busy = make_webhook()
    for _ in range(20):
        services.fan_out(make_event())
    late = make_webhook(event_types=["tag.set"])
    owed(make_event(EventType.TAG_SET))
    assert set(services.due_webhooks()) == {busy.pk, late.pk}


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
