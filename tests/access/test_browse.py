"""Who only browses sees that a model is there, and nothing of its versions (rule 9)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry import services as registry
from registry.models import ModelVersion

NAME = "prod.fraud.scorer"
PAGE = "/catalog/prod/fraud/scorer/"
VERSION = re.compile(r"\bv1\b")  # a word: by chance it is in tokens against forgery


@pytest.fixture
def browser(version: ModelVersion, grantee: User, admin: User, owner: User) -> User:
    """The grantee, who holds BROWSE on prod; the model has a comment and a tag."""
    registry.update_model(version.model, "finds fraud", principal=owner)
    registry.set_model_tag(version.model, "team", "risk", principal=owner)
    access.grant(
        version.model.schema.catalog, Privilege.BROWSE, grantee, principal=admin
    )
    return grantee


def test_rest_shows_name_comment_and_tags(
    browser: User, owner: User, call: Callable[..., Any]
) -> None:
    shown = call(browser, "get", f"models/{NAME}").json()
    assert shown["browse_only"] is True
    assert (shown["comment"], shown["tags"]) == ("finds fraud", {"team": "risk"})
    assert shown["versions"] == shown["aliases"] == []
    [listed] = call(browser, "get", "models").json()["models"]
    assert listed["browse_only"] is True

    assert call(owner, "get", f"models/{NAME}").json()["browse_only"] is False
    [listed] = call(owner, "get", "models").json()["models"]
    assert listed["browse_only"] is False


@pytest.mark.parametrize(
    "path",
    ["versions", "versions/1", "versions/9", "versions/1/lineage", "versions/1/tags",
     "aliases", "aliases/Champion", "aliases/Champion/history"],
)  # fmt: skip
def test_rest_refuses_versions_with_reasons(
    browser: User, call: Callable[..., Any], path: str
) -> None:
    refused = call(browser, "get", f"models/{NAME}/{path}")
    assert refused.status_code == 403
    assert refused.json()["details"]["reasons"][0]["missing"] == "EXECUTE"


def _mlflow(client: Client, who: User, path: str, **message: Any) -> Any:
    token = access.issue_token(who, "t", principal=who)
    headers = {"Authorization": f"Bearer {token}"}
    return client.get(f"/api/2.0/mlflow/{path}", message, headers=headers)


def test_mlflow_shows_the_model_without_versions(
    browser: User, owner: User, client: Client
) -> None:
    for who, is_full in ((browser, False), (owner, True)):
        got = _mlflow(client, who, "registered-models/get", name=NAME).json()
        listed = _mlflow(client, who, "registered-models/search").json()
        for model in (got["registered_model"], *listed["registered_models"]):
            assert model["description"] == "finds fraud"
            assert model["tags"] == [{"key": "team", "value": "risk"}]
            assert bool(model.get("latest_versions")) == is_full
        found = _mlflow(client, who, "model-versions/search").json()
        assert bool(found["model_versions"]) == is_full


@pytest.mark.parametrize("number", ["1", "9"])
@pytest.mark.parametrize("rpc", ["get", "get-download-uri"])
def test_mlflow_refuses_versions_with_reasons(
    browser: User, client: Client, rpc: str, number: str
) -> None:
    refused = _mlflow(
        client, browser, f"model-versions/{rpc}", name=NAME, version=number
    )
    assert refused.status_code == 403
    assert refused.json()["details"]["reasons"][0]["missing"] == "EXECUTE"


def test_console_shows_the_model_and_no_version(browser: User, client: Client) -> None:
    client.force_login(browser)
    page = client.get(PAGE)
    assert page.status_code == 200
    assert "and no more" in page.content.decode()
    assert not VERSION.search(page.content.decode())
    for path in ("/catalog/prod/fraud/", "/search/?q=scor", "/search/?q=risk"):
        listed = client.get(path).content.decode()
        assert "browse only" in listed, path
        assert not VERSION.search(listed), path
    versions = client.get("/search/?q=scorer/1&kind=versions").content.decode()
    assert "None of the versions that you may see" in versions
    assert client.get(f"{PAGE}versions/1/").status_code == 403
