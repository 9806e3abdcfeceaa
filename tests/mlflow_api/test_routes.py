"""Every route of the installed MLflow has a rule: served after a check, or denied.

The routes are asked of MLflow itself, and their parameters are filled in with what
really exists and belongs to somebody else: a route that forgets its check shows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import Resolver404, resolve

from access.models import User
from greenlight.reference.mlflow import mlflow_routes
from mlflow_api.messages import denied
from registry.models import ModelVersion
from tests.mlflow_api.conftest import Post

Headers = dict[str, str]

PUBLIC = {"/3.0/mlflow/server-info"}
# these answer everybody, with what is his own: no name or id of the owner's in it
OWN_THINGS_ONLY = {
    "/2.0/mlflow/experiments/search",
    "/2.0/mlflow/experiments/search-datasets",
    "/2.0/mlflow/logged-models/search",
    "/2.0/mlflow/model-versions/search",
    "/2.0/mlflow/registered-models/search",
    "/2.0/mlflow/runs/search",
}
# for a session alone: constants without which MLflow's page shows errors
NOTHING_IN_IT = {"/2.0/mlflow/gateway-proxy", "/3.0/mlflow/ui-telemetry"}


@pytest.fixture
def secrets(
    owner: User, version: ModelVersion, post: Post, upload: Post
) -> dict[str, Any]:
    """Ids and names of the owner's experiment, run, logged model and model."""
    experiment = post("experiments/create", name="hush")["experiment_id"]
    run = post("runs/create", experiment_id=experiment, start_time=1)["run"]["info"]
    logged = post("logged-models", experiment_id=experiment, name="quiet")["model"]
    root = f"{experiment}/{run['run_id']}/artifacts"
    upload(f"{root}/MLmodel", b"x")
    upload(f"{experiment}/models/{logged['info']['model_id']}/artifacts/MLmodel", b"x")
    return {
        "experiment_id": experiment,
        "experiment_ids": [experiment],
        "experiment_name": "hush",
        "run_id": run["run_id"],
        "run_ids": [run["run_id"]],
        "model_id": logged["info"]["model_id"],
        "name": version.model.full_name,
        "version": str(version.number),
        "artifact_path": f"{root}/MLmodel",
        "path": "MLmodel",
        "artifact_file_path": "MLmodel",
        "metric_key": "accuracy",
        "max_results": "10",
        "key": "note",
        "value": "x",
        "tag_key": "note",
        "alias": "Challenger",
    }


def send(
    client: Client, method: str, path: str, bag: dict[str, Any], **more: Any
) -> Any:
    """Send a request with the parameters that the path leaves out in the message."""
    url = re.sub(r"{(\w+)}", lambda found: str(bag.get(found[1], "x1")), path)
    message = message_for(path, bag)
    if method in {"GET", "HEAD"}:
        answer = client.generic(method, url, query_params=message, **more)
    else:
        body = json.dumps(message)
        answer = client.generic(method, url, body, "application/json", **more)
    if answer.streaming:
        answer.getvalue()  # closes the file, but for HEAD
        for close in answer._resource_closers:
            close()
    return answer


def message_for(path: str, bag: dict[str, Any]) -> dict[str, Any]:
    if "/mlflow-artifacts/artifacts" in path:
        directory = bag["artifact_path"].rpartition("/")[0]
        return {} if path.endswith("}") else {"path": directory}
    in_path = set(re.findall(r"{(\w+)}", path))
    message = {name: value for name, value in bag.items() if name not in in_path}
    if "/experiments/" in path:
        message["name"] = bag["experiment_name"]
    if "get-history-bulk" in path:
        message.pop("run_ids" if path.endswith("bulk") else "run_id")
    return message


def below_prefix(path: str) -> str:
    return re.sub("^/(?:ajax-)?api(?=/)", "", path)


def is_refusal(answer: Any, method: str) -> bool:
    """Tell whether an answer is a refusal in MLflow's own error format."""
    if not 400 <= answer.status_code < 500 and answer.status_code != 501:
        return False
    return method == "HEAD" or {"error_code", "message"} <= set(answer.json())


def test_every_route_has_a_rule() -> None:
    routes = mlflow_routes()
    assert len(routes) > 400
    without = []
    for _, path in routes:
        try:
            resolve(re.sub(r"{\w+}", "x1", path))
        except Resolver404:
            without.append(path)
    assert not without


def test_anonymous_gets_nothing(client: Client, secrets: dict[str, Any]) -> None:
    for method, path in mlflow_routes():
        if below_prefix(path) in PUBLIC:
            continue
        answer = send(client, method, path, secrets)
        assert answer.status_code in {401, 403, 404}, (method, path)
        assert is_refusal(answer, method), (method, path)


def test_stranger_gets_nothing_of_the_owners(
    secrets: dict[str, Any],
    stranger: User,
    client: Client,
    bearer: Callable[[User], Headers],
) -> None:
    headers = bearer(stranger)
    for method, path in mlflow_routes():
        if below_prefix(path) in PUBLIC:
            continue
        answer = send(client, method, path, secrets, headers=headers)
        if answer.status_code == 200 and below_prefix(path) in OWN_THINGS_ONLY:
            _assert_tells_nothing(answer, secrets, path)
        else:
            assert is_refusal(answer, method), (method, path, answer.status_code)


def test_session_of_a_stranger_gets_nothing_either(
    secrets: dict[str, Any], stranger: User, client: Client
) -> None:
    client.force_login(stranger)
    for method, path in mlflow_routes():
        if path.startswith("/api/") or below_prefix(path) in PUBLIC:
            continue
        if path.startswith("/static-files/") or below_prefix(path) in NOTHING_IN_IT:
            continue
        answer = send(client, method, f"/mlflow{path}", secrets)
        if answer.status_code == 200 and below_prefix(path) in OWN_THINGS_ONLY:
            _assert_tells_nothing(answer, secrets, path)
        else:
            assert is_refusal(answer, method), (method, path, answer.status_code)


def test_owner_reads_what_is_served(
    secrets: dict[str, Any],
    owner: User,
    client: Client,
    bearer: Callable[[User], Headers],
) -> None:
    """The parameters that strangers are refused with are the right ones."""
    headers = bearer(owner)
    refused = {
        path: answer.content
        for method, path in mlflow_routes()
        if method == "GET" and resolve(re.sub(r"{\w+}", "x1", path)).func != denied
        for answer in [send(client, method, path, secrets, headers=headers)]
        if answer.status_code != 200
    }
    assert set(map(below_prefix, refused)) <= {
        "/2.0/mlflow/registered-models/alias",  # there is none
    }, refused


def _assert_tells_nothing(answer: Any, secrets: dict[str, Any], path: str) -> None:
    body = answer.getvalue().decode()
    for secret in ("run_id", "model_id", "name", "experiment_name"):
        assert secrets[secret] not in body, (path, secret)
