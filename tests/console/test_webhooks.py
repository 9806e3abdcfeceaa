"""Webhooks in the console: plain forms, the same services, secrets shown once."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.conf import LazySettings
from django.db import transaction
from django.test import Client
from pytest_httpserver import HTTPServer

from access.models import User
from access.privileges import Privilege
from events.models import Event
from events.services import emit
from events.types import EventType
from registry.models import RegisteredModel
from webhooks import services
from webhooks.models import Delivery, Webhook

Browser = Callable[[User], Client]


@pytest.fixture(autouse=True)
def _loopback_is_allowed(settings: LazySettings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8", "::1/128"]


@pytest.fixture
def webhook(model: RegisteredModel, owner: User, httpserver: HTTPServer) -> Webhook:
    return services.create_webhook(
        httpserver.url_for("/hook"),
        ["alias.*"],
        scope_type="model",
        scope=model.full_name,
        principal=owner,
    )


@pytest.fixture
def delivery(webhook: Webhook, model: RegisteredModel, owner: User) -> Delivery:
    with transaction.atomic():
        emit(EventType.ALIAS_SET, model, principal=owner, alias="Champion", version=2)
    services.fan_out_waiting()
    return webhook.deliveries.get()


def pages(delivery: Delivery) -> list[str]:
    one = f"/webhooks/{delivery.webhook_id}/"
    return [
        "/webhooks/",
        "/webhooks/new/",
        one,
        f"{one}?show=pending",
        f"{one}?after=nonsense",
        f"{one}settings/",
        f"{one}deliveries/{delivery.pk}/",
    ]


def test_pages_render_for_the_owner(
    browser: Browser, owner: User, delivery: Delivery, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("<b>no</b>", 500)
    services.attempt(delivery)
    for path in pages(delivery):
        answer = browser(owner).get(path)
        assert answer.status_code == 200, path
        html = answer.content.decode()
        assert html.count("<h1") == 1
        assert " style=" not in html
    shown = browser(owner).get(pages(delivery)[-1]).content.decode()
    assert "prod.fraud.scorer" in shown
    assert "&lt;b&gt;no&lt;/b&gt;" in shown
    assert "webhook-timestamp" in shown
    assert not re.search(r"v1,[A-Za-z0-9+/]{20}", shown)


def test_stranger_sees_no_webhook(
    browser: Browser, stranger: User, delivery: Delivery
) -> None:
    client = browser(stranger)
    assert "No webhook that you manage" in client.get("/webhooks/").content.decode()
    for path in pages(delivery)[2:]:
        assert client.get(path).status_code == 404
    one = f"/webhooks/{delivery.webhook_id}/"
    for path in ("ping/", "disable/", "delete/", "rotate-secret/", "update/"):
        assert client.post(one + path).status_code == 404
    assert client.post(f"{one}deliveries/{delivery.pk}/redeliver/").status_code == 404


def test_pages_ask_to_sign_in(client: Client, db: None) -> None:
    assert client.get("/webhooks/").status_code == 302


def test_owner_creates_a_webhook_and_sees_the_secret_once(
    browser: Browser, owner: User, model: RegisteredModel
) -> None:
    form = {
        "url": "https://ci.example.com/hook",
        "scope_type": "model",
        "scope": model.full_name,
        "event_types": "approval.*\nalias.set, tag.set",
        "format": "cloudevents",
        "ordered": "on",
    }
    made = browser(owner).post("/webhooks/create/", form)
    assert "whsec_" in made.content.decode()
    webhook = Webhook.objects.get()
    assert webhook.event_types == ["approval.*", "alias.set", "tag.set"]
    assert (webhook.format, webhook.is_ordered) == ("cloudevents", True)
    shown = browser(owner).get(f"/webhooks/{webhook.pk}/settings/").content.decode()
    assert "whsec_" not in shown


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"url": "https://169.254.169.254/"}, 400, "public internet"),
        ({"event_types": "aproval.*"}, 400, "aproval"),
        ({"event_types": ""}, 400, "event_types"),
        ({"event_types": "A B"}, 400, "patterns"),
        ({"scope_type": "galaxy"}, 400, "scope_type"),
        ({"format": "xml"}, 400, "format"),
        ({"secret": "short"}, 400, "secret"),
        ({"scope_type": "installation", "scope": ""}, 403, "admin"),
    ],
)
def test_refused_form_says_why_and_keeps_what_was_typed(
    browser: Browser,
    owner: User,
    model: RegisteredModel,
    change: dict[str, str],
    status: int,
    words: str,
) -> None:
    form = {
        "url": "https://ci.example.com/hook",
        "description": "For the CI",
        "scope_type": "model",
        "scope": model.full_name,
        "event_types": "alias.set",
        "format": "standard",
        **change,
    }
    answer = browser(owner).post("/webhooks/create/", form)
    html = answer.content.decode()
    assert answer.status_code == status
    assert words in html
    assert "For the CI" in html
    assert not Webhook.objects.exists()


def test_holder_of_manage_changes_rotates_disables_and_deletes(
    browser: Browser, webhook: Webhook, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.MANAGE)
    client, one = browser(grantee), f"/webhooks/{webhook.pk}/"
    form = {
        "url": webhook.url,
        "event_types": "alias.set",
        "max_in_flight": "2",
        "description": "x",
    }
    client.post(f"{one}update/", form)
    webhook.refresh_from_db()
    assert (webhook.event_types, webhook.max_in_flight) == (["alias.set"], 2)

    rotated = client.post(f"{one}rotate-secret/", {"hours": "2"}).content.decode()
    assert "whsec_" in rotated
    assert "signs too" in rotated
    assert client.post(f"{one}expire-secret/").status_code == 302
    assert client.post(f"{one}expire-secret/").status_code == 409
    assert client.post(f"{one}rotate-secret/", {"hours": "x"}).status_code == 400
    assert client.post(f"{one}rotate-secret/", {"hours": "999"}).status_code == 400

    client.post(f"{one}disable/")
    assert "Enable" in client.get(f"{one}settings/").content.decode()
    client.post(f"{one}enable/")
    assert client.post(f"{one}explode/").status_code == 404

    assert client.post(f"{one}delete/", {"typed": "no"}).status_code == 400
    client.post(f"{one}delete/", {"typed": webhook.full_name})
    webhook.refresh_from_db()
    assert webhook.status == "deleted"


def test_owner_pings_and_sends_again(
    browser: Browser, owner: User, delivery: Delivery
) -> None:
    client, one = browser(owner), f"/webhooks/{delivery.webhook_id}/"
    pinged = client.post(f"{one}ping/", follow=True)
    assert "webhook.pinged" in pinged.content.decode()

    Delivery.objects.filter(pk=delivery.pk).update(status="failed", failures=9)
    client.post(f"{one}deliveries/{delivery.pk}/redeliver/")
    delivery.refresh_from_db()
    assert (delivery.status, delivery.failures) == ("pending", 0)

    Delivery.objects.filter(pk=delivery.pk).update(status="failed")
    since = {"since": "2026-01-01T00:00"}
    again = client.post(f"{one}redeliver-failed/", since, follow=True)
    assert "1 deliveries are sent again" in again.content.decode()
    assert client.post(f"{one}redeliver-failed/", {"since": "x"}).status_code == 400
    assert (
        client.post(f"{one}redeliver-failed/", {"since": "2026-99-01T00:00"})
    ).status_code == 400


def test_delivery_of_another_webhook_is_not_shown(
    browser: Browser, owner: User, delivery: Delivery, model: RegisteredModel
) -> None:
    other = services.create_webhook(
        "https://example.com/",
        ["*"],
        scope_type="model",
        scope=model.full_name,
        principal=owner,
    )
    path = f"/webhooks/{other.pk}/deliveries/{delivery.pk}/"
    assert browser(owner).get(path).status_code == 404


def test_payload_is_for_who_may_see_the_event(
    browser: Browser, admin: User, owner: User, delivery: Delivery
) -> None:
    hidden = Event.objects.get(pk=delivery.event_id)
    Webhook.objects.update(created_by=owner)
    path = pages(delivery)[-1]
    assert str(hidden.pk) in browser(admin).get(path).content.decode()


def test_list_takes_few_queries(
    browser: Browser,
    owner: User,
    delivery: Delivery,
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    client = browser(owner)
    client.get("/webhooks/")
    with django_assert_max_num_queries(7):
        client.get("/webhooks/")
