"""Guessing passwords ends: at the sign-in page and where a password issues a token."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings
from django.test import Client, RequestFactory
from django.utils import timezone

from access import services as access
from access.models import User
from core.callers import address_of
from events.models import Event

PASSWORD = "correct horse battery"


@pytest.fixture
def carol(admin: User, settings: LazySettings) -> User:
    settings.AXES_FAILURE_LIMIT = 3
    return access.create_user("carol", password=PASSWORD, principal=admin)


def issue(client: Client, password: str, username: str = "carol", **meta: Any) -> Any:
    credential = base64.b64encode(f"{username}:{password}".encode()).decode()
    return client.post(
        "/api/v1/tokens/by-password",
        {"name": "x"},
        "application/json",
        headers={"Authorization": f"Basic {credential}"},
        **meta,
    )


def sign_in(client: Client, password: str) -> Any:
    return client.post("/sign-in/", {"username": "carol", "password": password})


def test_guessing_is_locked_for_both_faces_and_told_once(
    carol: User, client: Client
) -> None:
    statuses = [issue(client, "wrong").status_code for _ in range(4)]
    assert statuses == [401, 401, 429, 429]
    refused = issue(client, PASSWORD)
    assert refused.status_code == 429
    assert refused.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    page = sign_in(client, PASSWORD)
    assert page.status_code == 429
    assert "Too many wrong passwords" in page.content.decode()
    told = Event.objects.filter(type="principal.locked_out")
    assert [event.data for event in told] == [{"address": "127.0.0.1"}]


def test_lock_is_of_one_name_and_address_and_ends(carol: User, client: Client) -> None:
    for _ in range(3):
        sign_in(client, "wrong")
    elsewhere = {"HTTP_X_FORWARDED_FOR": "127.0.0.1, 192.0.2.7"}
    assert issue(client, PASSWORD, **elsewhere).status_code == 201
    assert issue(client, "wrong", username="dave").status_code == 401
    assert sign_in(client, PASSWORD).status_code == 429
    with time_machine.travel(timezone.now() + dt.timedelta(minutes=16)):
        assert sign_in(client, PASSWORD).status_code == 302


@pytest.mark.parametrize("username", ["x" * 300, "a\0b"])
def test_name_that_nobody_has_is_401(db: None, client: Client, username: str) -> None:
    assert issue(client, "wrong", username=username).status_code == 401


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("127.0.0.1", "192.0.2.1, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.9", "192.0.2.7", "192.0.2.9"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("", "2001:db8::1", "2001:db8::1"),
        ("", "", None),
    ],
)
def test_address_is_what_the_proxy_saw(
    peer: str, forwarded: str, address: str | None
) -> None:
    meta = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    assert address_of(RequestFactory().get("/", **meta)) == address
