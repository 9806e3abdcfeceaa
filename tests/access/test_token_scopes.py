"""Scopes of tokens: what each admits, by REST and in MLflow's dialect; last use."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from access import services as access
from access.models import AccessToken, User
from access.token_scopes import TokenScope, scope_for
from core.errors import InvalidParameter
from events.models import Event
from registry.models import RegisteredModel

MLFLOW = "/api/2.0/mlflow"
A_REQUEST = "00000000-0000-0000-0000-000000000000"
GET_MODEL = f"{MLFLOW}/registered-models/get?name=prod.fraud.scorer"
Send = Callable[..., Any]


@pytest.fixture
def send(client: Client) -> Send:
    """Send a request with a new token of some scopes."""

    def request(
        principal: User, scopes: list[str], method: str, path: str, body: str = "{}"
    ) -> Any:
        token = access.issue_token(principal, "t", scopes=scopes, principal=principal)
        return client.generic(
            method,
            path,
            b"" if method == "GET" else body.encode(),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"},
        )

    return request


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", f"{MLFLOW}/registered-models/get", "registry:read"),
        ("HEAD", "/api/2.0/mlflow-artifacts/artifacts/1/run/x", "registry:read"),
        ("POST", f"{MLFLOW}/registered-models/get-latest-versions", "registry:read"),
        ("POST", "/ajax-api/2.0/mlflow/runs/search", "registry:read"),
        ("POST", "/mlflow/graphql", "registry:read"),
        ("POST", f"{MLFLOW}/registered-models/create", "registry:write"),
        ("POST", f"{MLFLOW}/runs/log-batch", "registry:write"),
        ("POST", f"{MLFLOW}/runs/search/x", "registry:write"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/run/x", "registry:write"),
        ("GET", "/api/v1/models/a.b.c/aliases/Champion/history", "registry:read"),
        ("PUT", "/api/v1/models/a.b.c/aliases/Champion", "registry:write"),
        ("PUT", "/api/v1/models/a.b.c/versions/1/tags/a/b", "registry:write"),
        ("POST", "/api/v1/models/a.b.c/aliases/Champion/break-glass", "all"),
        ("POST", "/api/v1/approvals", "registry:write"),
        ("GET", f"/api/v1/approvals/{A_REQUEST}", "approvals:decide"),
        ("POST", f"/api/v1/approvals/{A_REQUEST}/decisions", "approvals:decide"),
        ("POST", "/api/v1/policies", "all"),
        ("POST", "/api/v1/pipelines/a.b.c/runs", "runs:start"),
        ("POST", f"/api/v1/runs/{A_REQUEST}/cancel", "runs:start"),
        ("POST", "/api/v1/pipelines", "all"),
        ("POST", "/api/v1/serving-token", "endpoints:query"),
        ("POST", "/api/v1/endpoints/a.b.c/rollback", "all"),
        ("GET", "/api/v1/tokens", "all"),
        ("PATCH", "/api/v1/permissions/model/a.b.c", "all"),
        ("POST", "/api/2.1/unity-catalog/permissions/x", "all"),
        ("OPTIONS", "/api/v1/models", "all"),
        ("GET", "/", "all"),
    ],
)
def test_scope_of_a_route(method: str, path: str, scope: str) -> None:
    assert scope_for(method, path) == scope


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("registry:read", "GET", "/api/v1/models/prod.fraud.scorer"),
        ("registry:write", "GET", "/api/v1/models/prod.fraud.scorer"),
        ("registry:read", "GET", GET_MODEL),
        ("registry:write", "GET", GET_MODEL),
        ("approvals:decide", "GET", "/api/v1/approvals"),
        ("runs:start", "GET", "/api/v1/pipelines"),
        ("endpoints:query", "POST", "/api/v1/serving-token"),
    ],
)
def test_scope_admits_its_requests_and_no_others(
    model: RegisteredModel, owner: User, send: Send, scope: str, method: str, path: str
) -> None:
    assert send(owner, [scope], method, path).status_code == 200
    others = set(TokenScope.values) - {scope, "all", "registry:write", "registry:read"}
    for other in sorted(others):
        refused = send(owner, [other], method, path)
        assert refused.status_code == 403
        assert refused.json()["error_code"] == "PERMISSION_DENIED"
        assert scope_for(method, path.partition("?")[0]) in refused.json()["message"]


def test_read_scope_changes_nothing_in_either_dialect(
    model: RegisteredModel, owner: User, send: Send
) -> None:
    updates = Event.objects.filter(type="registered_model.updated")
    body = '{"name": "prod.fraud.scorer", "description": "changed"}'
    for method, path, text in (
        ("PATCH", f"{MLFLOW}/registered-models/update", body),
        ("PATCH", "/api/v1/models/prod.fraud.scorer", '{"comment": "changed"}'),
    ):
        before = updates.count()
        refused = send(owner, ["registry:read"], method, path, text)
        assert refused.status_code == 403
        assert "registry:write" in refused.json()["message"]
        assert updates.count() == before
        assert send(owner, ["registry:write"], method, path, text).status_code == 200


def test_scope_gives_no_right(
    model: RegisteredModel, stranger: User, send: Send
) -> None:
    for scopes in (["all"], ["registry:write"]):
        assert send(stranger, scopes, "GET", GET_MODEL).status_code == 404


def test_expired_token_is_refused_before_its_scopes(
    owner: User, client: Client
) -> None:
    token = access.issue_token(owner, "t", scopes=["runs:start"], principal=owner)
    with time_machine.travel(timezone.now() + dt.timedelta(days=91)):
        answer = client.get(GET_MODEL, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_narrow_token_makes_no_token(owner: User, send: Send) -> None:
    narrow = [scope for scope in TokenScope.values if scope != "all"]
    refused = send(owner, narrow, "POST", "/api/v1/tokens", '{"name": "wide"}')
    assert refused.status_code == 403
    assert "the scope all" in refused.json()["message"]
    assert AccessToken.objects.count() == 1


def test_token_is_issued_and_listed_with_its_scopes(call: Any, owner: User) -> None:
    body = {"name": "ci", "scopes": ["runs:start", "registry:read"]}
    assert call(owner, "POST", "tokens", body).status_code == 201
    listed = call(owner, "GET", "tokens").json()["tokens"]
    found = {token["name"]: token for token in listed}["ci"]
    assert found["scopes"] == ["registry:read", "runs:start"]
    assert found["last_used_at"] is None


@pytest.mark.parametrize("scopes", [[], ["registry"], ["all", "ALL"]])
def test_unknown_scopes_are_refused(call: Any, owner: User, scopes: list[str]) -> None:
    with pytest.raises(InvalidParameter, match="registry:read"):
        access.issue_token(owner, "t", scopes=scopes, principal=owner)
    refused = call(owner, "POST", "tokens", {"name": "bad", "scopes": scopes})
    assert refused.status_code == 400
    assert "registry:read" in refused.json()["message"]
    assert not AccessToken.objects.filter(name="bad").exists()


def test_last_use_is_written_once_a_minute(
    model: RegisteredModel,
    owner: User,
    client: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    token = access.issue_token(owner, "t", principal=owner)
    headers = {"Authorization": f"Bearer {token}"}
    used = AccessToken.objects.values_list("last_used_at", flat=True)
    start = timezone.now().replace(microsecond=0)
    for seconds, queries, written in ((0, 3, 0), (59, 2, 0), (61, 3, 61)):
        now = start + dt.timedelta(seconds=seconds)
        with time_machine.travel(now, tick=False), django_assert_num_queries(queries):
            client.get("/api/v1/tokens", headers=headers)
        assert used.get() == start + dt.timedelta(seconds=written)
