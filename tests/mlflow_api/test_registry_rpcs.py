"""The registry RPCs that change things, for owner, grantee and stranger."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from registry import services as registry
from registry.models import Catalog, ModelVersion, RegisteredModel
from registry.prompts import IS_PROMPT, TEXT

Call = Callable[..., Any]
PREFIXES = ("api", "ajax-api")
NAME = "prod.fraud.scorer"
ONE = {"name": NAME, "version": "1"}


@pytest.fixture
def call(client: Client, bearer: Callable[[User], dict[str, str]]) -> Call:
    """Call an RPC as a principal; return (status, answer)."""

    def send(
        principal: User, method: str, path: str, prefix: str = "api", **message: Any
    ) -> tuple[int, dict[str, Any]]:
        url = f"/{prefix}/2.0/mlflow/{path}"
        headers = bearer(principal)
        if method == "GET":
            answer = client.get(url, message, headers=headers)
        else:
            body = json.dumps(message)
            answer = client.generic(
                method, url, body, "application/json", headers=headers
            )
        return answer.status_code, answer.json()

    return send


OWNERS = [
    ("POST", "registered-models/rename", {"name": NAME, "new_name": "prod.fraud.b"}),
    ("DELETE", "registered-models/delete", {"name": NAME}),
    ("PATCH", "registered-models/update", {"name": NAME, "description": "d"}),
    ("POST", "registered-models/alias", {**ONE, "alias": "a"}),
    ("PATCH", "model-versions/update", {**ONE, "description": "d"}),
    ("DELETE", "model-versions/delete", ONE),
    ("POST", "model-versions/create", {"name": NAME, "source": f"models:/{NAME}/1"}),
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(("method", "path", "message"), OWNERS)
def test_owner_may_grantee_is_told_why_not_stranger_learns_nothing(
    version: ModelVersion,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
    call: Call,
    prefix: str,
    method: str,
    path: str,
    message: dict[str, str],
) -> None:
    use(grantee, Privilege.EXECUTE)
    status, body = call(stranger, method, path, prefix, **message)
    assert (status, body["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    status, body = call(grantee, method, path, prefix, **message)
    assert (status, body["error_code"]) == (403, "PERMISSION_DENIED")
    assert body["details"]["reasons"][0]["missing"] in {"ownership", "MANAGE"}
    assert call(owner, method, path, prefix, **message)[0] == 200


def test_answers_have_user_aliases_and_latest_version(
    version: ModelVersion, owner: User, call: Call
) -> None:
    approvals.set_alias(version.model, "Challenger", version, principal=owner)
    _, body = call(owner, "GET", "registered-models/get", name=NAME)
    model = body["registered_model"]
    latest = model["latest_versions"][0]
    assert model["user_id"] == latest["user_id"] == "owner"
    assert model["aliases"] == [{"alias": "Challenger", "version": "1"}]
    assert (latest["version"], latest["aliases"]) == ("1", ["Challenger"])


def test_latest_version_is_the_newest_that_is_ready(
    version: ModelVersion,
    owner: User,
    make_version: Callable[..., ModelVersion],
    call: Call,
    tmp_path: Any,
) -> None:
    make_version(version.model, content="2")
    (tmp_path / "no model").mkdir()
    registry.create_version_from_directory(
        version.model, tmp_path / "no model", principal=owner
    )
    path = "registered-models/get-latest-versions"
    for stages in ([], ["None"], ["none", "Production"]):
        status, body = call(owner, "POST", path, name=NAME, stages=stages)
        assert [found["version"] for found in body["model_versions"]] == ["2"]
    status, body = call(owner, "POST", path, name=NAME, stages=["Production"])
    assert (status, "set_registered_model_alias" in body["message"]) == (400, True)


def test_stage_transition_says_to_use_aliases(
    version: ModelVersion, owner: User, stranger: User, call: Call
) -> None:
    message = {**ONE, "stage": "Production", "archive_existing_versions": False}
    path = "model-versions/transition-stage"
    status, body = call(owner, "POST", path, **message)
    assert (status, "aliases are" in body["message"]) == (400, True)
    assert call(stranger, "POST", path, **message)[0] == 404


def test_replayed_registration_and_a_deliberate_one(
    version: ModelVersion, owner: User, call: Call
) -> None:
    def register(**more: str) -> str:
        message = {"name": NAME, "source": f"models:/{NAME}/1", **more}
        _, body = call(owner, "POST", "model-versions/create", **message)
        return str(body["model_version"]["version"])

    assert [register(), register(), register(description="b")] == ["2", "2", "3"]
    status, body = call(owner, "POST", "registered-models/create", name=NAME)
    assert (status, body["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")
    assert [register(), register()] == ["4", "4"]


def test_replayed_rename_is_answered_alike(
    version: ModelVersion, owner: User, call: Call
) -> None:
    names = {"name": NAME, "new_name": "prod.fraud.judge"}
    first = call(owner, "POST", "registered-models/rename", **names)
    assert call(owner, "POST", "registered-models/rename", **names) == first
    assert first[1]["registered_model"]["name"] == "prod.fraud.judge"


def test_catalog_may_let_others_than_the_owner_register(
    version: ModelVersion,
    owner: User,
    grantee: User,
    use: Callable[..., None],
    call: Call,
) -> None:
    use(grantee)
    Catalog.objects.update(delegated_versions=True)
    model = registry.get_model(NAME)
    access.grant(model, Privilege.CREATE_MODEL_VERSION, grantee, principal=owner)
    mine = registry.create_model("prod.fraud.mine", principal=owner)
    access.grant(model, Privilege.EXECUTE, grantee, principal=owner)
    message = {"name": NAME, "source": f"models:/{NAME}/1"}
    _, body = call(grantee, "POST", "registered-models/create", name=NAME)
    assert body["error_code"] == "RESOURCE_ALREADY_EXISTS"
    status, body = call(grantee, "POST", "model-versions/create", **message)
    assert (status, body["model_version"]["user_id"]) == (200, "grantee")
    assert call(grantee, "POST", "registered-models/alias", **ONE, alias="a")[0] == 403
    message["name"] = mine.full_name
    assert call(grantee, "POST", "model-versions/create", **message)[0] == 403
    Catalog.objects.update(delegated_versions=False)
    message["name"] = NAME
    status, body = call(grantee, "POST", "model-versions/create", **message, tags=[])
    assert body["details"]["reasons"][0]["missing"] == "ownership"


@pytest.mark.parametrize(
    "claim", [{"run_id": "0" * 32}, {"model_id": "m-" + "0" * 32}, {"run_id": "x"}]
)
def test_claims_about_a_source_are_checked(
    version: ModelVersion, owner: User, call: Call, claim: dict[str, str]
) -> None:
    message = {"name": NAME, "source": f"models:/{NAME}/1", **claim}
    status, _ = call(owner, "POST", "model-versions/create", **message)
    assert (status, version.model.versions.count()) == (404, 1)


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "x" * 501, "//evil.example"]
)
def test_run_link_is_a_link(
    version: ModelVersion, owner: User, call: Call, link: str
) -> None:
    message = {"name": NAME, "source": f"models:/{NAME}/1", "run_link": link}
    status, body = call(owner, "POST", "model-versions/create", **message)
    assert (status, "run_link" in body["message"]) == (400, True)


LONG = [
    ("PATCH", "registered-models/update", {"name": NAME, "description": "a" * 5001}),
    ("PATCH", "model-versions/update", {**ONE, "description": "a" * 5001}),
    (
        "POST",
        "registered-models/set-tag",
        {"name": NAME, "key": "a" * 251, "value": "b"},
    ),
    (
        "POST",
        "registered-models/set-tag",
        {"name": NAME, "key": "a", "value": "b" * 5001},
    ),
    ("POST", "model-versions/set-tag", {**ONE, "key": "a" * 251, "value": "b"}),
    ("POST", "model-versions/set-tag", {**ONE, "key": "a", "value": "b" * 100_001}),
    (
        "POST",
        "registered-models/create",
        {"name": "prod.fraud.long", "tags": [{"key": "a", "value": "b" * 5001}]},
    ),
]


@pytest.mark.parametrize(("method", "path", "message"), LONG)
def test_what_no_column_can_hold_is_refused(
    version: ModelVersion,
    owner: User,
    call: Call,
    method: str,
    path: str,
    message: dict[str, Any],
) -> None:
    status, body = call(owner, method, path, **message)
    assert (status, body["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_alias_goes_only_to_a_ready_version(
    model: RegisteredModel, owner: User, call: Call, tmp_path: Any
) -> None:
    (tmp_path / "no model").mkdir()
    registry.create_version_from_directory(
        model, tmp_path / "no model", principal=owner
    )
    status, body = call(owner, "POST", "registered-models/alias", **ONE, alias="a")
    assert (status, "is failed, not ready" in body["message"]) == (409, True)


def test_workspace_header_is_refused(
    version: ModelVersion,
    owner: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
) -> None:
    headers = {**bearer(owner), "X-MLFLOW-WORKSPACE": "team"}
    answer = client.get(
        "/api/2.0/mlflow/registered-models/get", {"name": NAME}, headers=headers
    )
    assert (answer.status_code, answer.json()["error_code"]) == (
        400,
        "FEATURE_DISABLED",
    )


def test_prompt_whose_text_was_changed_is_read_no_more(
    owner: User, use: Callable[..., None], call: Call
) -> None:
    use(owner, Privilege.CREATE_MODEL)
    mark = {IS_PROMPT: "true"}
    prompt = registry.create_model("prod.fraud.hello", tags=mark, principal=owner)
    version = registry.create_version(
        prompt, "dummy-source", tags={**mark, TEXT: "Hello"}, principal=owner
    )
    message = {"name": prompt.full_name, "version": "1"}
    assert call(owner, "GET", "model-versions/get", **message)[0] == 200
    registry.report_tampering(version, ["its text was changed"])
    assert call(owner, "GET", "model-versions/get", **message)[0] == 403


def test_reader_of_a_prompt_may_send_what_mlflow_sends(
    owner: User, grantee: User, use: Callable[..., None], call: Call
) -> None:
    use(owner, Privilege.CREATE_MODEL)
    use(grantee, Privilege.EXECUTE)
    mark = {IS_PROMPT: "true"}
    prompt = registry.create_model("prod.fraud.hello", tags=mark, principal=owner)
    registry.create_version(
        prompt, "dummy-source", tags={**mark, TEXT: "Hello"}, principal=owner
    )
    name = {"name": prompt.full_name}
    tag = {**name, "key": "_mlflow_experiment_ids", "value": ",1,"}
    assert call(grantee, "POST", "registered-models/set-tag", **tag) == (200, {})
    _, body = call(grantee, "GET", "registered-models/get", **name)
    assert body["registered_model"]["tags"] == [{"key": IS_PROMPT, "value": "true"}]
    other = {**tag, "key": "team"}
    assert call(grantee, "POST", "registered-models/set-tag", **other)[0] == 403
    path = "model-versions/get-download-uri"
    status, body = call(grantee, "GET", path, **name, version="1")
    assert (status, "is a prompt" in body["message"]) == (400, True)
