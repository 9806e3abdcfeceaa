"""Who gets how far into an experiment: every class of route for every role."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry import services as registry
from registry.models import Experiment, Schema
from tests.factories import UserFactory
from tests.mlflow_api.conftest import Post

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
SEE, READ, EDIT, MANAGE = "see", "read", "edit", "manage"

# Role -> how far it gets. A manager's power is over the thing, not its data.
ROLES = {
    "owner": {SEE, READ, EDIT, MANAGE},
    "reader": {SEE, READ},
    "editor": {SEE, READ, EDIT},
    "manager": {SEE, MANAGE},
    "schema_owner": {SEE, MANAGE},
    "schema_reader": {SEE, READ},
    "in_group": {SEE, READ, EDIT},
    "browser": {SEE},
    "admin": {SEE, MANAGE},
    "expired": set[str](),
    "without_use": set[str](),
    "stranger": set[str](),
}
TABLES = ("runs", "params", "tags", "metrics", "logged_models", "experiment_tags")


@pytest.fixture
def study(owner: User, use: Callable[..., None]) -> Experiment:
    """prod.fraud.study, owned by `owner`."""
    use(owner, Privilege.CREATE_EXPERIMENT)
    return registry.create_experiment("prod.fraud.study", principal=owner)


@pytest.fixture
def things(study: Experiment, post: Post, upload: Post) -> dict[str, str]:
    """A run with a metric, a logged model, and a file of each."""
    run = post("runs/create", experiment_id=study.experiment_id, start_time=1)["run"]
    run_id = run["info"]["run_id"]
    post("runs/log-metric", run_id=run_id, key="auc", value=0.5, timestamp=1)
    made = post("logged-models", experiment_id=study.experiment_id, name="m")
    model_id = made["model"]["info"]["model_id"]
    upload(f"{study.experiment_id}/{run_id}/artifacts/notes.txt", b"1")
    upload(f"{study.experiment_id}/models/{model_id}/artifacts/MLmodel", b"1")
    return {"experiment": study.experiment_id, "run": run_id, "model": model_id}


@pytest.fixture
def someone(
    study: Experiment,
    schema: Schema,
    admin: User,
    owner: User,
    use: Callable[..., None],
) -> Callable[[str], User]:
    """Make the principal of a role."""

    def grant(privilege: Privilege, on: Any = study, **more: Any) -> User:
        user = UserFactory()
        access.grant(on, privilege, user, principal=admin, **more)
        return user

    def make(role: str) -> User:
        if role in {"owner", "admin"}:
            return {"owner": owner, "admin": admin}[role]
        if role == "stranger":
            return UserFactory()
        if role == "browser":
            return grant(Privilege.BROWSE, schema.catalog)
        if role == "without_use":
            return grant(Privilege.EDIT_EXPERIMENT)
        user = _within_borders(role, grant, schema, admin)
        if role != "expired":
            use(user)
        return user

    return make


def _within_borders(
    role: str, grant: Callable[..., User], schema: Schema, admin: User
) -> User:
    if role == "schema_owner":
        user = UserFactory()
        access.transfer_ownership(schema, user, principal=admin)
        return user
    if role == "schema_reader":
        return grant(Privilege.READ_EXPERIMENT, schema)
    if role == "in_group":
        group = access.create_group("analysts", principal=admin)
        user = UserFactory()
        access.add_member(group, user, principal=admin)
        study = Experiment.objects.get()
        access.grant(study, Privilege.EDIT_EXPERIMENT, group, principal=admin)
        return user
    if role == "expired":
        past = timezone.now() - timedelta(seconds=1)
        return grant(Privilege.READ_EXPERIMENT, expires_at=past)
    privilege = {
        "reader": Privilege.READ_EXPERIMENT,
        "editor": Privilege.EDIT_EXPERIMENT,
        "manager": Privilege.MANAGE,
    }[role]
    return grant(privilege)


def requests_of(t: dict[str, str]) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return (level, method, URL, message) of a request of every class of route."""
    run, experiment = {"run_id": t["run"]}, {"experiment_id": t["experiment"]}
    model = f"{API}/logged-models/{t['model']}"
    root = f"{t['experiment']}/{t['run']}/artifacts"
    metric = {"key": "auc", "value": 0.5, "timestamp": 2, "step": 1}
    history = {"metric_key": "auc", "max_results": "5"}
    tag = {"key": "note", "value": "x"}
    model_tag = {"tags": [tag]}
    ready = {"model_id": t["model"], "status": "LOGGED_MODEL_READY"}
    params = {"model_id": t["model"], "params": [tag]}
    return [
        (SEE, "GET", f"{API}/experiments/get", experiment),
        (SEE, "GET", f"{API}/experiments/get-by-name", {"experiment_name": "prod.fraud.study"}),
        (READ, "GET", f"{API}/runs/get", run),
        (READ, "GET", f"{API}/metrics/get-history", {**run, "metric_key": "auc"}),
        (READ, "GET", f"{API}/metrics/get-history-bulk", {**run, **history}),
        (READ, "GET", f"{API}/metrics/get-history-bulk-interval", {"run_ids": t["run"], **history}),
        (READ, "GET", f"{API}/artifacts/list", run),
        (READ, "GET", f"{API}/get-artifact", {**run, "path": "notes.txt"}),
        (READ, "GET", f"{FILES}/{root}/notes.txt", {}),
        (READ, "GET", FILES, {"path": root}),
        (READ, "GET", model, {}),
        (READ, "GET", f"{model}/artifacts/directories", {}),
        (READ, "GET", f"{model}/artifacts/files", {"artifact_file_path": "MLmodel"}),
        (EDIT, "POST", f"{API}/runs/create", {**experiment, "start_time": 1}),
        (EDIT, "POST", f"{API}/runs/update", {**run, "status": "FINISHED"}),
        (EDIT, "POST", f"{API}/runs/set-tag", {**run, **tag}),
        (EDIT, "POST", f"{API}/runs/delete-tag", {**run, "key": "note"}),
        (EDIT, "POST", f"{API}/runs/log-metric", {**run, **metric}),
        (EDIT, "POST", f"{API}/runs/log-parameter", {**run, **tag}),
        (EDIT, "POST", f"{API}/runs/log-batch", {**run, "metrics": [metric]}),
        (EDIT, "POST", f"{API}/runs/log-inputs", {**run, "datasets": []}),
        (EDIT, "POST", f"{API}/runs/outputs", {**run, "models": [{"model_id": t["model"], "step": 0}]}),
        (EDIT, "POST", f"{API}/experiments/set-experiment-tag", {**experiment, **tag}),
        (EDIT, "POST", f"{API}/experiments/delete-experiment-tag", {**experiment, "key": "note"}),
        (EDIT, "POST", f"{API}/logged-models", {**experiment, "name": "n"}),
        (EDIT, "PATCH", model, ready),
        (EDIT, "PATCH", f"{model}/tags", model_tag),
        (EDIT, "DELETE", f"{model}/tags/note", {}),
        (EDIT, "POST", f"{model}/params", params),
        (EDIT, "PUT", f"{FILES}/{root}/more.txt", {}),
        (MANAGE, "POST", f"{API}/runs/delete", run),
        (MANAGE, "POST", f"{API}/runs/restore", run),
        (MANAGE, "DELETE", model, {}),
        (MANAGE, "POST", f"{API}/experiments/delete", experiment),
        (MANAGE, "POST", f"{API}/experiments/restore", experiment),
    ]  # fmt: skip


def send(
    client: Client, method: str, url: str, message: dict[str, Any], headers: Any
) -> Any:
    if method == "GET":
        answer = client.get(url, message, headers=headers)
        if answer.streaming:
            answer.getvalue()
        return answer
    return client.generic(
        method, url, _json(message), "application/json", headers=headers
    )


def _json(message: dict[str, Any]) -> str:
    return json.dumps(message) if message else ""


@pytest.mark.parametrize("role", ROLES)
def test_role_gets_as_far_as_it_should(
    role: str,
    someone: Callable[[str], User],
    things: dict[str, str],
    client: Client,
    bearer: Callable[[User], dict[str, str]],
) -> None:
    may, headers = ROLES[role], bearer(someone(role))
    before = _rows()
    refused = 403 if SEE in may else 404
    for level, method, url, message in requests_of(things):
        answer = send(client, method, url, message, headers)
        expected = 200 if level in may else refused
        assert answer.status_code == expected, (method, url, answer.content)
    if EDIT not in may:
        assert _rows() == before


@pytest.mark.parametrize("role", ROLES)
def test_searches_find_what_the_role_may_read(
    role: str,
    someone: Callable[[str], User],
    things: dict[str, str],
    client: Client,
    bearer: Callable[[User], dict[str, str]],
) -> None:
    may, headers = ROLES[role], bearer(someone(role))
    named = {"experiment_ids": [things["experiment"], "0", "77"]}
    counts = {}
    for route, key in (("runs", "runs"), ("logged-models", "models")):
        url = f"{API}/{route}/search"
        answer = send(client, "POST", url, named, headers)
        counts[route] = len(answer.json().get(key, []))
    found = client.get(
        f"{API}/experiments/search?max_results=10", headers=headers
    ).json()
    listed = [entry["name"] for entry in found.get("experiments", [])]
    assert set(counts.values()) == ({1} if READ in may else {0})
    assert listed == (["prod.fraud.study"] if SEE in may else [])


@pytest.mark.parametrize("name", ["/Users/me/my study", "a%2Fb", "50 % & more?"])
def test_any_name_can_be_shared_by_rest(
    name: str,
    owner: User,
    grantee: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
) -> None:
    made = registry.create_experiment(name, principal=owner)
    url = f"/api/v1/permissions/experiment/{quote(name, safe='')}"
    change = {"principal": "grantee", "add": ["READ EXPERIMENT"]}
    body = {"changes": [change]}
    answer = client.patch(url, body, "application/json", headers=bearer(owner))
    assert answer.status_code == 200, answer.content
    found = client.get(
        f"{API}/experiments/get",
        {"experiment_id": made.experiment_id},
        headers=bearer(grantee),
    )
    assert found.json()["experiment"]["name"] == name


def _rows() -> dict[str, int]:
    with connection.cursor() as cursor:
        counts = {}
        for table in TABLES:
            cursor.execute(f"SELECT COUNT(*) FROM {table}")
            counts[table] = cursor.fetchone()[0]
    return counts
