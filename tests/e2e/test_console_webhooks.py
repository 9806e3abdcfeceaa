"""Webhooks in a real browser: without script, and every page as people see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import transaction
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer
from pytest_httpserver import HTTPServer

from access.models import User
from events.services import emit
from events.types import EventType
from registry.models import RegisteredModel
from tests.e2e.browser import PASSWORD, check, open_page, sign_in
from tests.factories import ModelFactory
from webhooks import services
from webhooks.models import Delivery, DeliveryStatus, Webhook

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def keeper(
    schema: object, owner: User, use: object, settings: LazySettings
) -> RegisteredModel:
    """A model whose owner has a password."""
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8", "::1/128"]
    owner.set_password(PASSWORD)
    owner.save()
    use(owner)  # type: ignore[operator]  # the fixture is a function
    return ModelFactory(schema=schema, name="scorer", owner=owner)


def test_webhook_is_made_tried_and_rotated_without_script(
    chromium: Browser,
    live_server: LiveServer,
    keeper: RegisteredModel,
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/hook").respond_with_data("thanks")
    page = open_page(chromium, live_server, java_script_enabled=False)
    sign_in(page, keeper.owner)
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_role("link", name="New webhook").click()
    page.get_by_label("Address").fill(httpserver.url_for("/hook"))
    page.get_by_label("Scope").select_option("model")
    page.get_by_label("Full name").fill(keeper.full_name)
    page.get_by_label("Event types, one per line").fill("alias.*")
    page.get_by_role("button", name="Create webhook").click()
    expect(page.get_by_text("whsec_")).to_be_visible()
    page.get_by_role("link", name="To the webhook").click()

    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("Nothing was sent yet")).to_be_visible()
    services.send(services.claim(Webhook.objects.get().pk))
    page.reload()
    expect(page.get_by_text("thanks")).to_be_visible()
    page.get_by_role("button", name="Send again").click()
    assert Delivery.objects.get().status == DeliveryStatus.PENDING

    page.goto(f"/webhooks/{Webhook.objects.get().pk}/settings/")
    page.get_by_role("button", name="Rotate secret").click()
    expect(page.get_by_text("The old secret signs too")).to_be_visible()


def test_every_page_of_webhooks_is_accessible(
    chromium: Browser,
    live_server: LiveServer,
    keeper: RegisteredModel,
    admin: User,
    httpserver: HTTPServer,
    shots: Path,
) -> None:
    webhook = failing_webhook(keeper, httpserver)
    services.rotate_secret(webhook, principal=keeper.owner)
    newest = webhook.deliveries.order_by("created_at")[0]
    one = f"/webhooks/{webhook.pk}/"
    pages = {
        "webhooks": "/webhooks/",
        "new-webhook": "/webhooks/new/",
        "webhook": one,
        "webhook-settings": f"{one}settings/",
        "delivery": f"{one}deliveries/{newest.pk}/",
    }
    page = open_page(chromium, live_server)
    sign_in(page, keeper.owner)
    for name, path in pages.items():
        page.goto(path)
        check(page, name, shots)
    page.goto(pages["webhook-settings"])
    page.get_by_role("button", name="Rotate secret").click()
    check(page, "webhook-secret", shots)


def failing_webhook(model: RegisteredModel, receiver: HTTPServer) -> Webhook:
    """A webhook whose receiver took a few events, and fails now."""
    webhook = services.create_webhook(
        receiver.url_for("/hook"),
        ["approval.*", "alias.*", "model_version.*", "tag.*"],
        scope_type="model",
        scope=model.full_name,
        description="The deployment pipeline of the fraud team",
        principal=model.owner,
    )
    receiver.expect_request("/hook").respond_with_data('{"error": "busy"}', 503)
    for number in range(12):
        with transaction.atomic():
            emit(
                EventType.ALIAS_SET,
                model,
                principal=model.owner,
                alias="Champion",
                version=number,
            )
    services.fan_out_waiting()
    done = webhook.deliveries.order_by("created_at").values_list("pk", flat=True)
    Delivery.objects.filter(pk__in=list(done[3:9])).update(status="delivered")
    Delivery.objects.filter(pk=done[9]).update(status="failed")
    while claimed := services.claim(webhook.pk):
        services.send(claimed)
    webhook.refresh_from_db()
    return webhook
