"""The registry RPCs: answers, refusals, and how many queries they cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel

API = "/api/2.0/mlflow"


@pytest.fixture
def aliased(version: ModelVersion, owner: User) -> ModelVersion:
    approvals.set_alias(version.model, "Challenger", version, principal=owner)
    return version


def test_alias_resolution_costs_two_queries(
    aliased: ModelVersion,
    owner: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
    django_assert_num_queries: Any,
) -> None:
    headers = bearer(owner)
    url = f"{API}/registered-models/alias?name=prod.fraud.scorer&alias=challenger"
    client.get(url, headers=headers)
    with django_assert_num_queries(2):
        answer = client.get(url, headers=headers)
    found = answer.json()["model_version"]
    assert (found["version"], found["status"]) == ("1", "READY")
    assert found["aliases"] == ["Challenger"]


def test_version_and_download_uri_cost_two_queries(
    aliased: ModelVersion,
    owner: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
    django_assert_num_queries: Any,
) -> None:
    headers = bearer(owner)
    for call in ("get", "get-download-uri"):
        with django_assert_num_queries(2):
            client.get(
                f"{API}/model-versions/{call}?name=prod.fraud.scorer&version=1",
                headers=headers,
            )


def test_hot_read_says_what_mlflows_own_store_says(
    aliased: ModelVersion,
    owner: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
) -> None:
    registry.set_version_tag(aliased, "note", "ok", principal=owner)
    headers = bearer(owner)
    query = "name=prod.fraud.scorer"
    hot = client.get(f"{API}/model-versions/get?{query}&version=1", headers=headers)
    searched = client.get(
        f"{API}/model-versions/search?filter=name%3D'prod.fraud.scorer'",
        headers=headers,
    )
    own = searched.json()["model_versions"][0]
    assert {**own, "aliases": ["Challenger"]} == {
        key: hot.json()["model_version"][key] for key in {*own, "aliases"}
    }


def test_stranger_and_missing_model_look_the_same(
    aliased: ModelVersion,
    stranger: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
) -> None:
    headers = bearer(stranger)
    url = f"{API}/registered-models/alias?alias=Challenger&name=prod.fraud"
    theirs = client.get(f"{url}.scorer", headers=headers)
    missing = client.get(f"{url}.nothing", headers=headers)
    assert theirs.status_code == missing.status_code == 404
    assert theirs.json()["message"].replace("scorer", "X") == missing.json()[
        "message"
    ].replace("nothing", "X")


def test_grantee_loads_with_execute_only(
    aliased: ModelVersion,
    grantee: User,
    use: Callable[..., None],
    client: Client,
    bearer: Callable[[User], dict[str, str]],
) -> None:
    headers = bearer(grantee)
    root = "/api/2.0/mlflow-artifacts/artifacts/greenlight/prod.fraud.scorer/1"
    use(grantee)
    refused = client.get(f"{root}/MLmodel", headers=headers)
    assert refused.status_code == 403
    assert refused.json()["details"]["reasons"][0]["missing"] == "EXECUTE"
    use(grantee, Privilege.EXECUTE)
    served = client.get(f"{root}/MLmodel", headers=headers)
    assert b"python_function" in b"".join(served.streaming_content)
    assert client.put(f"{root}/MLmodel", b"x", headers=headers).status_code == 403


def test_search_shows_only_what_the_caller_may_see(
    model: RegisteredModel,
    stranger: User,
    owner: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
) -> None:
    url = f"{API}/registered-models/search?filter=name LIKE 'prod.%25'&max_results=5"
    mine = client.get(url, headers=bearer(owner)).json()
    theirs = client.get(url, headers=bearer(stranger)).json()
    assert [m["name"] for m in mine["registered_models"]] == ["prod.fraud.scorer"]
    assert theirs["registered_models"] == []


def test_two_level_name_says_what_is_missing(
    schema: Any, owner: User, client: Client, bearer: Callable[[User], dict[str, str]]
) -> None:
    answer = client.post(
        f"{API}/registered-models/create",
        {"name": "fraud.scorer"},
        "application/json",
        headers=bearer(owner),
    )
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "specify all three levels" in answer.json()["message"]


@pytest.mark.parametrize(
    "url",
    [
        "registered-models/get?name=prod.fraud.scorer&name=prod.fraud.other",
        "registered-models/get?Name=prod.fraud.scorer",
        "model-versions/get?name=prod.fraud.scorer&version=one",
        "model-versions/get?name=prod.fraud.scorer&version=-1",
        "model-versions/get?name=prod.fraud.scorer",
    ],
)
def test_ambiguous_or_malformed_queries_are_refused(
    model: RegisteredModel,
    owner: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
    url: str,
) -> None:
    answer = client.get(f"{API}/{url}", headers=bearer(owner))
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "a.b.c", "name": "a.b.d"}',
        b'"{\\"name\\": \\"a.b.c\\"}"',
        b'{"newName": "a.b.c"}',
        b"[1]",
        b"{",
        b'{"name": 1}',
        b'{"name": ' + b"[" * 50 + b"]" * 50 + b"}",
    ],
)
def test_ambiguous_or_malformed_bodies_are_refused(
    schema: Any,
    owner: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
    body: bytes,
) -> None:
    answer = client.post(
        f"{API}/registered-models/create",
        body,
        "application/json",
        headers=bearer(owner),
    )
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "%2e%2e/x", "..%2fx", "%252e%252e/x", "a//b", "a\\b"]
)
def test_artifact_paths_stay_inside(
    version: ModelVersion,
    owner: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
    path: str,
) -> None:
    root = "/api/2.0/mlflow-artifacts/artifacts/greenlight/prod.fraud.scorer/1"
    answer = client.get(f"{root}/{path}", headers=bearer(owner))
    assert 400 <= answer.status_code < 500
