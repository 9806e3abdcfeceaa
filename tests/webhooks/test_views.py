"""The REST face of webhooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from rest_framework.test import APIClient

from access.models import User
from events.models import Event
from registry.models import RegisteredModel
from webhooks import services
from webhooks.models import Webhook

Api = Callable[[User], APIClient]


@pytest.fixture
def api() -> Api:
    def client(user: User) -> APIClient:
        client = APIClient()
        client.force_authenticate(user)
        return client

    return client


def body(url: str, model: RegisteredModel) -> dict[str, Any]:
    return {
        "url": url,
        "event_types": ["approval.*", "alias.set"],
        "scope_type": "model",
        "scope": model.full_name,
    }


def test_secret_is_shown_once(
    api: Api, owner: User, model: RegisteredModel, httpserver: HTTPServer
) -> None:
    sent = body(httpserver.url_for("/hook"), model)
    made = api(owner).post("/api/v1/webhooks", sent, format="json")
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")

    shown = api(owner).get(f"/api/v1/webhooks/{made.json()['id']}").json()
    assert "whsec_" not in str(shown)
    assert "secret" not in shown
    assert shown["scope"] == model.full_name
    assert shown["status"] == "active"


def test_stranger_gets_404_and_an_empty_list(
    api: Api, stranger: User, model: RegisteredModel, webhook: Webhook
) -> None:
    sent = body("https://example.com/", model)
    assert (
        api(stranger).post("/api/v1/webhooks", sent, format="json").status_code == 404
    )
    assert api(stranger).get(f"/api/v1/webhooks/{webhook.pk}").status_code == 404
    assert api(stranger).get("/api/v1/webhooks").json()["webhooks"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://169.254.169.254/"},
        {"url": "nonsense"},
        {"event_types": []},
        {"event_types": ["no.such"]},
        {"scope_type": "galaxy"},
        {"scope": ""},
    ],
)
def test_bad_input_is_a_clear_400(
    api: Api, admin: User, model: RegisteredModel, change: dict[str, Any]
) -> None:
    sent = body("https://example.com/", model) | change
    answer = api(admin).post("/api/v1/webhooks", sent, format="json")
    assert answer.status_code in {400, 404}
    assert answer.json()["message"]
    assert not Webhook.objects.exists()


def test_deliveries_are_listed_by_page_and_resent(
    api: Api,
    admin: User,
    webhook: Webhook,
    make_event: Callable[..., Event],
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/hook").respond_with_data("no", 500)
    for _ in range(3):
        (delivery,) = services.fan_out(make_event())
    services.attempt(delivery)
    path = f"/api/v1/webhooks/{webhook.pk}/deliveries?max_results=2"

    first = api(admin).get(path).json()
    rest = api(admin).get(f"{path}&page_token={first['next_page_token']}").json()

    assert first["deliveries"][0]["id"] == str(delivery.pk)
    assert (len(first["deliveries"]), len(rest["deliveries"])) == (2, 1)
    assert rest["next_page_token"] == ""
    shown = api(admin).get(f"/api/v1/deliveries/{delivery.pk}").json()
    assert shown["attempts"][0]["status_code"] == 500
    assert shown["attempts"][0]["response_head"] == "no"
    again = api(admin).post(f"/api/v1/deliveries/{delivery.pk}/redeliver")
    assert again.status_code == 202
    assert again.json()["failures"] == 0


def test_webhook_is_stopped_and_goes_on(
    api: Api, admin: User, webhook: Webhook, event: Event
) -> None:
    services.fan_out(event)
    path = f"/api/v1/webhooks/{webhook.pk}"
    assert api(admin).post(f"{path}/disable").json()["status"] == "disabled"
    assert len(api(admin).get(f"{path}/deliveries").json()["deliveries"]) == 1
    assert api(admin).post(f"{path}/disable").status_code == 409
    assert api(admin).post(f"{path}/ping").status_code == 409
    assert api(admin).post(f"{path}/enable").json()["status"] == "active"
    assert services.claim(webhook.pk)


def test_deleted_webhook_is_gone_with_its_secret(
    api: Api, admin: User, webhook: Webhook, event: Event
) -> None:
    services.fan_out(event)
    path = f"/api/v1/webhooks/{webhook.pk}"
    assert api(admin).delete(path).status_code == 204
    assert api(admin).get(path).status_code == 404
    assert api(admin).delete(path).status_code == 404
    webhook.refresh_from_db()
    assert webhook.encrypted_secret == ""
    assert webhook.deliveries.get().status == "failed"


def test_webhook_is_changed_rotated_and_pinged(
    api: Api, admin: User, webhook: Webhook
) -> None:
    path, client = f"/api/v1/webhooks/{webhook.pk}", api(admin)
    changes = {"description": "CI", "ordered": True, "event_types": ["tag.*"]}
    changed = client.patch(path, changes, format="json").json()
    assert changed["description"] == "CI"
    assert (changed["ordered"], changed["event_types"]) == (True, ["tag.*"])

    rotated = client.post(f"{path}/secret", {}, format="json").json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["old_secret_until"]
    assert client.delete(f"{path}/secret").json()["old_secret_until"] is None
    assert client.delete(f"{path}/secret").status_code == 409

    pinged = client.post(f"{path}/ping")
    assert pinged.status_code == 202
    assert pinged.json()["event_type"] == "webhook.pinged"


@pytest.mark.parametrize(
    ("method", "path", "sent", "field"),
    [
        ("patch", "", {"url": "https://10.0.0.1/"}, "internet"),
        ("patch", "", {"event_types": ["no.such"]}, "event_types"),
        ("patch", "", {"max_in_flight": 0}, "max_in_flight"),
        ("patch", "", {"scope": "prod"}, "scope"),
        ("patch", "", {"format": "mlflow"}, "format"),
        ("post", "/secret", {"overlap_seconds": -1}, "overlap_seconds"),
        ("post", "/secret", {"overlap_seconds": 10**9}, "overlap_seconds"),
        ("post", "/secret", {"secret": "short"}, "secret"),
        ("post", "/redeliver", {}, "since"),
        ("post", "/redeliver", {"since": "yesterday"}, "since"),
    ],
)
def test_bad_change_names_the_field_and_does_nothing(
    api: Api,
    admin: User,
    webhook: Webhook,
    method: str,
    path: str,
    sent: dict[str, Any],
    field: str,
) -> None:
    before = Webhook.objects.values().get()
    address = f"/api/v1/webhooks/{webhook.pk}{path}"
    answer = getattr(api(admin), method)(address, sent, format="json")
    assert answer.status_code == 400
    assert field in answer.json()["message"]
    assert Webhook.objects.values().get() == before


def test_what_was_given_up_is_sent_again_from_a_moment_on(
    api: Api, admin: User, webhook: Webhook, make_event: Callable[..., Event]
) -> None:
    for _ in range(3):
        services.fan_out(make_event())
    old, *newer = webhook.deliveries.order_by("created_at")
    webhook.deliveries.update(status="failed", failures=9)
    since = newer[0].created_at.isoformat()
    answer = api(admin).post(
        f"/api/v1/webhooks/{webhook.pk}/redeliver", {"since": since}, format="json"
    )
    assert answer.json() == {"count": 2}
    assert webhook.deliveries.filter(status="pending", failures=0).count() == 2
    old.refresh_from_db()
    assert old.status == "failed"


def test_stranger_may_do_nothing_with_a_webhook(
    api: Api, stranger: User, webhook: Webhook
) -> None:
    path = f"/api/v1/webhooks/{webhook.pk}"
    client = api(stranger)
    for verb in ("disable", "enable", "ping", "secret"):
        assert client.post(f"{path}/{verb}", {}, format="json").status_code == 404
    since = {"since": "2026-01-01T00:00:00Z"}
    assert client.post(f"{path}/redeliver", since, format="json").status_code == 404
    assert client.patch(path, {}, format="json").status_code == 404
    assert client.delete(path).status_code == 404
