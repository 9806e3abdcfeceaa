"""The page of the REST API: for who is signed in, from our own server."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.staticfiles import finders
from django.test import Client

from access.models import User

Browser = Callable[[User], Client]


def test_page_loads_everything_from_here(browser: Browser, stranger: User) -> None:
    answer = browser(stranger).get("/api/v1/docs/")
    assert answer.status_code == 200
    text = answer.content.decode()
    assert 'data-document="/api/v1/schema"' in text
    assert "https://" not in text
    assert "data:" in answer["Content-Security-Policy"].split("img-src")[1]
    assert "unsafe" not in answer["Content-Security-Policy"]
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert finders.find(f"drf_spectacular_sidecar/swagger-ui-dist/{name}")


def test_others_sign_in_first(client: Client, db: None) -> None:
    answer = client.get("/api/v1/docs/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in/")
