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
    assert "secret" not in str(shown)
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


def test_delete_stops_the_webhook_and_keeps_its_log(
    api: Api, admin: User, webhook: Webhook, event: Event
) -> None:
    services.fan_out(event)
    path = f"/api/v1/webhooks/{webhook.pk}"
    assert api(admin).delete(path).status_code == 204
    assert api(admin).get(path).json()["status"] == "disabled"
    assert len(api(admin).get(f"{path}/deliveries").json()["deliveries"]) == 1
    assert api(admin).delete(path).status_code == 409
