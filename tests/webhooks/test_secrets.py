"""A secret is rotated without a message that its receiver cannot verify."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
import time_machine
from cryptography.fernet import Fernet, InvalidToken
from django.conf import LazySettings
from django.core.management import call_command
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from access.models import User
from access.privileges import Privilege
from core.errors import Conflict, NotFound, PermissionDenied
from events.models import Event
from events.types import EventType
from registry.models import RegisteredModel
from webhooks import services, signing
from webhooks.models import Webhook

MakeEvent = Callable[..., Event]


@pytest.fixture
def deliver(
    webhook: Webhook, make_event: MakeEvent, httpserver: HTTPServer
) -> Callable[[], tuple[bytes, dict[str, str]]]:
    """Deliver an event, and return what arrived."""
    httpserver.expect_request("/hook").respond_with_data("")

    def deliver() -> tuple[bytes, dict[str, str]]:
        services.fan_out(make_event())
        services.send(services.claim(webhook.pk))
        request, _ = httpserver.log[-1]
        return request.data, dict(request.headers)

    return deliver


def verifies(secret: str, arrived: tuple[bytes, dict[str, str]]) -> bool:
    try:
        Verifier(secret).verify(*arrived)
    except WebhookVerificationError:
        return False
    return True


def test_both_secrets_verify_while_the_old_one_lives(
    webhook: Webhook,
    admin: User,
    deliver: Callable[[], tuple[bytes, dict[str, str]]],
) -> None:
    old = webhook.secret_text
    new = services.rotate_secret(webhook, principal=admin).secret_text
    assert new != old

    arrived = deliver()
    assert verifies(old, arrived)
    assert verifies(new, arrived)
    assert len(arrived[1]["Webhook-Signature"].split(" ")) == 2

    with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(hours=25)):
        arrived = deliver()
        assert verifies(new, arrived)
        assert not verifies(old, arrived)


def test_old_secret_ends_at_once_when_told_to(
    webhook: Webhook,
    admin: User,
    deliver: Callable[[], tuple[bytes, dict[str, str]]],
) -> None:
    old = webhook.secret_text
    services.rotate_secret(webhook, principal=admin)
    services.expire_secret(webhook, principal=admin)
    assert not verifies(old, deliver())
    with pytest.raises(Conflict, match="no old secret"):
        services.expire_secret(webhook, principal=admin)


def test_rotation_without_overlap_keeps_nothing(webhook: Webhook, admin: User) -> None:
    services.rotate_secret(webhook, overlap=dt.timedelta(0), principal=admin)
    assert Webhook.objects.get().encrypted_old_secret == ""


def test_second_rotation_ends_the_oldest_secret(
    webhook: Webhook,
    admin: User,
    deliver: Callable[[], tuple[bytes, dict[str, str]]],
) -> None:
    first = webhook.secret_text
    second = services.rotate_secret(webhook, principal=admin).secret_text
    third = services.rotate_secret(webhook, principal=admin).secret_text
    arrived = deliver()
    assert [verifies(one, arrived) for one in (first, second, third)] == [0, 1, 1]


def test_secrets_whose_time_is_over_are_erased(webhook: Webhook, admin: User) -> None:
    services.rotate_secret(webhook, principal=admin)
    assert services.erase_old_secrets() == 0
    with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(hours=25)):
        assert services.erase_old_secrets() == 1
    assert Webhook.objects.get().encrypted_old_secret == ""


def test_rotation_is_an_event_without_the_secret(webhook: Webhook, admin: User) -> None:
    services.rotate_secret(webhook, principal=admin)
    services.expire_secret(webhook, principal=admin)
    assert Event.objects.filter(type=EventType.WEBHOOK_SECRET_ROTATED).count() == 1
    assert Event.objects.filter(type=EventType.WEBHOOK_SECRET_EXPIRED).count() == 1
    assert "whsec_" not in str(list(Event.objects.values("data")))


def test_who_rotates_for_another_sees_with_own_eyes_from_then_on(
    make_webhook: Callable[..., Webhook],
    model: RegisteredModel,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
) -> None:
    use(grantee, Privilege.MANAGE)
    webhook = make_webhook(principal=owner, scope_type="model", scope=model.full_name)
    services.rotate_secret(webhook, principal=grantee)
    assert webhook.created_by == grantee
    with pytest.raises(NotFound):
        services.rotate_secret(webhook, principal=stranger)
    with pytest.raises(NotFound):
        services.expire_secret(webhook, principal=stranger)


def test_admin_who_rotates_takes_nothing_over(
    make_webhook: Callable[..., Webhook],
    model: RegisteredModel,
    admin: User,
    owner: User,
) -> None:
    webhook = make_webhook(principal=owner, scope_type="model", scope=model.full_name)
    services.rotate_secret(webhook, principal=admin)
    assert webhook.created_by == owner


def test_manager_of_no_scope_takes_over_nothing(
    make_webhook: Callable[..., Webhook], admin: User, owner: User
) -> None:
    from webhooks.services.subscriptions import take_over

    with pytest.raises(PermissionDenied):
        take_over(make_webhook(principal=admin), principal=owner)


def test_old_key_may_leave_the_ring_after_everything_is_encrypted_again(
    webhook: Webhook, admin: User, settings: LazySettings
) -> None:
    services.rotate_secret(webhook, principal=admin)
    old, new = settings.ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    secret = webhook.secret_text

    settings.ENCRYPTION_KEYS = [new]
    with pytest.raises(InvalidToken):
        signing.decrypt(webhook.encrypted_secret)
    settings.ENCRYPTION_KEYS = [new, old]
    call_command("encrypt_again")
    settings.ENCRYPTION_KEYS = [new]

    webhook.refresh_from_db()
    assert signing.decrypt(webhook.encrypted_secret) == secret
    assert signing.decrypt(webhook.encrypted_old_secret).startswith("whsec_")
