"""REST input that could be read in two ways, or that nothing should read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access import services as access
from access.models import User
from events.models import Event
from registry.models import Catalog, RegisteredModel

Send = Callable[..., Any]
MODEL = "models/prod.fraud.scorer"


@pytest.fixture
def send(client: Client, admin: User) -> Send:
    """Send raw bytes as the admin."""
    token = access.issue_token(admin, "t", principal=admin)

    def do(method: str, path: str, body: bytes = b"", **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        kind = more.pop("content_type", "application/json")
        url = f"/api/v1/{path}"
        return client.generic(method, url, body, kind, headers=headers, **more)

    return do


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"name": "a", "name": "b"}', "'name' appears twice"),
        (b'{"name": "a", "Name": "b"}', "'Name' is unknown"),
        (b'{"name": "a", "owner": "b"}', "'owner' is unknown"),
        (b'{"name": NaN}', "NaN"),
        (b'["name"]', "object"),
        (b'"{}"', "object"),
        (b"{", "JSON"),
        (b'{"name": "\xff"}', "JSON"),
        (b'{"name": "a", "comment": "\\ud800"}', "surrogate"),
        (b'{"name": "a", "comment": "\\u0000"}', "comment"),
        (b'{"name": ' + b"[" * 100_000, "JSON"),
        (b'{"name": ' + b"[" * 200 + b"]" * 200 + b"}", "nested"),
    ],
)
def test_body_is_refused_and_nothing_is_made(
    send: Send, body: bytes, word: str
) -> None:
    answered = send("POST", "catalogs", body)
    assert answered.status_code == 400
    assert word in answered.json()["message"]
    assert not Catalog.objects.exists()


def test_body_that_is_too_large_is_refused(send: Send, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    body = json.dumps({"name": "a", "comment": "x" * 1000}).encode()
    answered = send("POST", "catalogs", body)
    assert answered.status_code == 413
    assert answered.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert not Catalog.objects.exists()


def test_other_media_types_are_refused(send: Send) -> None:
    answered = send("POST", "catalogs", b"name=a", content_type="text/plain")
    assert answered.status_code == 415


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("models?max_results=1&max_results=2", "'max_results' is given twice"),
        ("models?maxResults=1", "'maxResults' is unknown"),
        (f"{MODEL}/aliases/Champion?asof=2026-01-01T00:00:00Z", "'asof' is unknown"),
        ("models?page_token=%00", "null"),
        ("models/prod.fraud.sco%00rer", "null"),
    ],
)
def test_query_is_refused(
    send: Send, model: RegisteredModel, path: str, word: str
) -> None:
    answered = send("GET", path)
    assert answered.status_code == 400
    assert word in answered.json()["message"]


@pytest.mark.parametrize(
    "name",
    [
        "prod.fraud.scorer.",
        "prod.fraud.%2e%2e",
        "prod.fraud.%252e",
        "prod.fraud.SCORER",
        "prod.fraud.scorer%E2%80%AE",
        "prod.fraud." + "a" * 5000,
        "prod..scorer",
        "..",
        "%F0%9F%92%A9",
        "%ff",
    ],
)
def test_odd_names_in_the_path_find_nothing(
    send: Send, model: RegisteredModel, name: str
) -> None:
    before = Event.objects.count()
    for method in ("GET", "DELETE"):
        answered = send(method, f"models/{name}")
        assert 400 <= answered.status_code < 500
        assert answered.json()["message"]
    assert Event.objects.count() == before


def test_numbers_beyond_every_integer_find_nothing(
    send: Send, model: RegisteredModel
) -> None:
    for number in (0, 2**31, 2**63, 10**30):
        assert send("GET", f"{MODEL}/versions/{number}").status_code == 404
