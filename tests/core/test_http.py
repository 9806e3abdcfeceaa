"""The short way of RPCs: fewer headers and no sessions, but the same answers."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path


def _unreachable(request: HttpRequest) -> HttpResponse:
    raise OperationalError("the connection is lost")


urlpatterns = [path("api/2.0/mlflow/lost", _unreachable)]


def test_rpc_has_request_id_and_is_not_sniffed_or_given_cookies(client: Client) -> None:
    answer = client.get("/api/2.0/mlflow/registered-models/get?name=a.b.c")

    assert answer.status_code == 401
    assert answer.json()["error_code"] == "UNAUTHENTICATED"
    assert answer["X-Request-Id"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert not answer.cookies


def test_unknown_rpc_is_denied(client: Client) -> None:
    answer = client.get("/api/2.0/mlflow/registered-models/no-such-thing")

    assert answer.status_code == 403


@pytest.mark.urls(__name__)
def test_rpc_without_database_may_be_tried_again(client: Client) -> None:
    answer = client.get("/api/2.0/mlflow/lost")

    assert answer.status_code == 503
    assert answer["Retry-After"]


def test_page_passes_what_follows_the_short_way(client: Client) -> None:
    answer = client.get("/sign-in/")

    assert "Content-Security-Policy" in answer.headers
