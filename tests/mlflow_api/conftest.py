"""An API client that speaks JSON with a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from access import services as access
from access.models import User

Headers = Callable[[User], dict[str, str]]


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def bearer() -> Headers:
    def headers(user: User) -> dict[str, str]:
        token = access.issue_token(user, "test", principal=user)
        # used this minute, so that a request costs what most requests cost
        user.access_tokens.update(last_used_at=timezone.now())
        return {"Authorization": f"Bearer {token}"}

    return headers


Post = Callable[..., Any]


@pytest.fixture
def post(owner: User, client: Client, bearer: Headers) -> Post:
    """Send an RPC as the owner, and return its answer."""
    headers = bearer(owner)

    def send(route: str, **body: Any) -> Any:
        url = f"/api/2.0/mlflow/{route}"
        answer = client.post(url, body, "application/json", headers=headers)
        assert answer.status_code == 200, answer.content
        return answer.json()

    return send


@pytest.fixture
def upload(owner: User, client: Client, bearer: Headers) -> Post:
    """Upload a file as the owner, through the artifact proxy."""
    headers = bearer(owner)

    def put(path: str, content: bytes) -> None:
        url = f"/api/2.0/mlflow-artifacts/artifacts/{path}"
        answer = client.generic("PUT", url, content, headers=headers)
        assert answer.status_code == 200, answer.content

    return put
