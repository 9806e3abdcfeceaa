"""Tracking routes and input that two parsers could read in two ways, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from core.errors import NotFound, PermissionDenied
from registry import services as registry
from registry import sources
from registry.store import tracking_store
from tests.mlflow_api.conftest import Post

API = "/api/2.0/mlflow"
Bearer = Callable[[User], dict[str, str]]
Call = Callable[..., Any]


@pytest.fixture
def mine(post: Post) -> dict[str, str]:
    """The owner's run and logged model."""
    experiment = post("experiments/create", name="mine")["experiment_id"]
    run = post("runs/create", experiment_id=experiment, start_time=1)["run"]["info"]
    model = post("logged-models", experiment_id=experiment, name="m")["model"]["info"]
    return {
        "experiment": experiment,
        "run": run["run_id"],
        "model": model["model_id"],
    }


@pytest.fixture
def theirs(stranger: User) -> dict[str, str]:
    """A run and a logged model of the stranger's, which the owner may not know."""
    made = registry.create_experiment("theirs", principal=stranger)
    run = tracking_store().create_run(made.experiment_id, "s", 0, [], "r").info
    model = tracking_store().create_logged_model(made.experiment_id, "secret")
    return {
        "experiment": made.experiment_id,
        "run": run.run_id,
        "model": model.model_id,
    }


@pytest.fixture
def call(client: Client, owner: User, bearer: Bearer) -> Call:
    """Send a raw request as the owner."""
    headers = bearer(owner)

    def send(method: str, route: str, body: Any = b"", **more: Any) -> Any:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        kind = more.pop("content_type", "application/json")
        url = f"{API}/{route}"
        return client.generic(method, url, body, kind, headers=headers, **more)

    return send


def everything() -> dict[str, Any]:
    """Return what MLflow's tables hold, to see that a refusal left it alone."""
    tables = ("runs", "params", "tags", "metrics", "logged_models", "experiments",
              "logged_model_metrics", "logged_model_tags", "inputs")  # fmt: skip
    with connection.cursor() as cursor:
        found = {}
        for table in tables:
            cursor.execute(f"SELECT * FROM {table}")
            found[table] = sorted(map(str, cursor.fetchall()))
    return found


def test_two_values_of_one_parameter_are_refused(
    call: Call, mine: dict[str, str], theirs: dict[str, str]
) -> None:
    for first, second in ((mine, theirs), (theirs, mine)):
        query = f"run_id={first['run']}&run_id={second['run']}"
        assert call("GET", f"runs/get?{query}").status_code == 400
        query = f"run_id={first['run']}&run_uuid={second['run']}"
        assert call("GET", f"runs/get?{query}").status_code == 400
        query = f"run_id={first['run']}&run_id[]={second['run']}"
        assert call("GET", f"runs/get?{query}").status_code == 400
        answer = call("GET", f"runs/get?runId={second['run']}&run_id={first['run']}")
        assert answer.status_code == 400


def test_bulk_history_checks_runs_under_both_names(
    call: Call, mine: dict[str, str], theirs: dict[str, str]
) -> None:
    for route in ("get-history-bulk", "get-history-bulk-interval"):
        query = f"run_ids={mine['run']}&run_id={theirs['run']}&metric_key=auc"
        answer = call("GET", f"metrics/{route}?{query}")
        assert answer.status_code in {400, 404}


@pytest.mark.parametrize(
    "body",
    [
        '{{"run_id": "{mine}", "run_id": "{theirs}", "key": "a", "value": "b"}}',
        '{{"run_id": "{mine}", "runId": "{theirs}", "key": "a", "value": "b"}}',
        '{{"run_id": "{mine}", "run_uuid": "{theirs}", "key": "a", "value": "b"}}',
        '"{{\\"run_id\\": \\"{theirs}\\", \\"key\\": \\"a\\", \\"value\\": \\"b\\"}}"',
        '{{"run_id": ["{mine}"], "key": "a", "value": "b"}}',
        '{{"run_id": {{"a": "{theirs}"}}, "key": "a", "value": "b"}}',
        '[{{"run_id": "{mine}", "key": "a", "value": "b"}}]',
        '{{"run_id": "{mine}", "key": "a", "value": "b\\u0000"}}',
        '{{"run_id": "{mine}", "key": "a", "value": "\\ud800"}}',
        '{{"run_id": "{mine}", "key": "a", "value": NaN}}',
        '{{"run_id": "", "key": "a", "value": "b"}}',
        "{{",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_ambiguous_bodies_change_nothing(
    call: Call, mine: dict[str, str], theirs: dict[str, str], body: str, kind: str
) -> None:
    before = everything()
    raw = body.format(mine=mine["run"], theirs=theirs["run"]).encode()
    answer = call("POST", "runs/set-tag", raw, content_type=kind)
    assert answer.status_code == 400
    assert {"error_code", "message"} <= set(answer.json())
    assert everything() == before


def test_body_of_a_get_and_query_of_a_post_are_refused(
    call: Call, mine: dict[str, str], theirs: dict[str, str]
) -> None:
    run = {"run_id": theirs["run"]}
    assert call("GET", "runs/get", run).status_code == 400
    assert call("GET", f"runs/get?run_id={mine['run']}", run).status_code == 400
    tag = {"run_id": mine["run"], "key": "a", "value": "b"}
    url = f"runs/set-tag?run_id={theirs['run']}"
    assert call("POST", url, tag).status_code == 400
    model = {"model_id": theirs["model"], "status": "LOGGED_MODEL_READY"}
    assert call("PATCH", f"logged-models/{mine['model']}", model).status_code == 400


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("runs/log-metric", {"key": "auc", "value": 1, "timestamp": 1, "model_id": 0}),
        (
            "runs/log-batch",
            {"metrics": [{"key": "b", "value": 1, "timestamp": 1, "model_id": 0}]},
        ),
        ("runs/outputs", {"models": [{"model_id": 0, "step": 0}]}),
        ("runs/log-inputs", {"models": [{"model_id": 0}]}),
    ],
)
def test_run_cannot_reach_into_a_hidden_model(
    call: Call,
    mine: dict[str, str],
    theirs: dict[str, str],
    route: str,
    body: dict[str, Any],
) -> None:
    before = everything()
    told = json.dumps({"run_id": mine["run"], **body})
    for model_id, status in ((theirs["model"], 404), ("m-unknown", 404), ({}, 400)):
        raw = told.replace('"model_id": 0', f'"model_id": {json.dumps(model_id)}')
        assert call("POST", route, raw.encode()).status_code == status
    assert everything() == before
    good = told.replace('"model_id": 0', f'"model_id": "{mine["model"]}"')
    assert call("POST", route, good.encode()).status_code == 200


def test_metric_on_a_model_needs_edit_there_and_an_output_only_read(
    call: Call,
    mine: dict[str, str],
    theirs: dict[str, str],
    owner: User,
    stranger: User,
) -> None:
    experiment = registry.get_experiment(theirs["experiment"])
    access.grant(experiment, Privilege.READ_EXPERIMENT, owner, principal=stranger)
    metric = {"key": "auc", "value": 1, "timestamp": 1, "model_id": theirs["model"]}
    answer = call("POST", "runs/log-metric", {"run_id": mine["run"], **metric})
    assert answer.status_code == 403
    output = {"models": [{"model_id": theirs["model"], "step": 0}]}
    answer = call("POST", "runs/outputs", {"run_id": mine["run"], **output})
    assert answer.status_code == 200


def test_logged_model_names_no_hidden_run_as_its_source(
    call: Call, mine: dict[str, str], theirs: dict[str, str]
) -> None:
    body = {"experiment_id": mine["experiment"], "name": "n"}
    answer = call("POST", "logged-models", {**body, "source_run_id": theirs["run"]})
    assert answer.status_code == 404
    answer = call("POST", "logged-models", {**body, "source_run_id": mine["run"]})
    assert answer.status_code == 200


def test_note_of_a_registration_never_fails_and_tells_nobody(
    call: Call, mine: dict[str, str], theirs: dict[str, str]
) -> None:
    note = {"key": "mlflow.modelVersions", "value": '[{"name": "prod.fraud.scorer"}]'}
    for model in (mine["model"], theirs["model"]):
        answer = call("PATCH", f"logged-models/{model}/tags", {"tags": [note]})
        assert answer.status_code == 200
    more = {"tags": [note, {"key": "a", "value": "b"}]}
    url = f"logged-models/{theirs['model']}/tags"
    assert call("PATCH", url, more).status_code == 404
    assert call("PATCH", f"logged-models/{mine['model']}/tags", more).status_code == 200
    tags = call("GET", f"logged-models/{mine['model']}").json()["model"]["info"]["tags"]
    assert [tag["key"] for tag in tags] == ["a"]


@pytest.mark.parametrize("ids", [[], "1", [1], [["1"]], None, ["1"] * 1001])
@pytest.mark.parametrize("route", ["runs/search", "logged-models/search"])
def test_searches_need_a_list_of_ids(call: Call, ids: Any, route: str) -> None:
    assert call("POST", route, {"experiment_ids": ids}).status_code == 400


@pytest.mark.parametrize(
    ("method", "route", "body"),
    [
        ("POST", "runs/search", {"filter": "run_id ="}),
        ("POST", "runs/search", {"max_results": -1}),
        ("POST", "runs/search", {"max_results": 10**30}),
        ("POST", "runs/search", {"order_by": ["nonsense"]}),
        ("POST", "runs/search", {"page_token": "é"}),
        ("POST", "runs/search", {"run_view_type": [1]}),
        ("POST", "logged-models/search", {"page_token": "x"}),
        ("POST", "logged-models/search", {"order_by": [1]}),
        ("POST", "logged-models/search", {"datasets": [{"a": 1}]}),
        ("POST", "runs/create", {"start_time": []}),
        ("POST", "runs/create", {"start_time": {}}),
        ("POST", "runs/create", {"tags": "x"}),
        ("POST", "runs/update", {"end_time": []}),
        ("POST", "runs/log-batch", {"metrics": "x"}),
        ("POST", "runs/log-batch", {"metrics": [1]}),
        ("POST", "runs/log-batch", {"params": [{"key": str(n), "value": "1"} for n in range(101)]}),
        ("POST", "runs/log-metric", {"key": "auc", "value": "much", "timestamp": 1}),
        ("POST", "runs/log-parameter", {"key": "a/../b", "value": "1"}),
        ("GET", "metrics/get-history", {"metric_key": "auc", "page_token": "é"}),
        ("GET", "metrics/get-history-bulk", {"metric_key": "auc", "max_results": "1.5"}),
        ("GET", "metrics/get-history-bulk-interval", {"metric_key": "auc", "max_results": "x"}),
        ("POST", "experiments/search", {"filter": "name ~ 'x'"}),
        ("POST", "experiments/search", {"max_results": "many"}),
        ("GET", "runs/get", {"run_id": "\x00"}),
        ("GET", "artifacts/list", {"path": "../.."}),
        ("GET", "artifacts/list", {"path": "%2e%2e/x"}),
        ("GET", "get-artifact", {"path": "a//b"}),
    ],
)  # fmt: skip
def test_values_of_the_wrong_kind_are_refused(
    call: Call, mine: dict[str, str], method: str, route: str, body: dict[str, Any]
) -> None:
    before = everything()
    name = "run_ids" if route.endswith("interval") else "run_id"
    given = {
        "experiment_id": mine["experiment"],
        "experiment_ids": [mine["experiment"]],
        name: mine["run"],
        **body,
    }
    if method == "GET":
        answer = call("GET", route, query_params=given)
    else:
        answer = call("POST", route, given)
    assert 400 <= answer.status_code < 500, answer.content
    assert {"error_code", "message"} <= set(answer.json())
    assert everything() == before


@pytest.mark.parametrize("key", ["..", ".", "a?b", "a#b", "a%2fb", "ä", "a b", "a;b"])
def test_tag_key_in_a_path_is_the_key_that_is_deleted(
    call: Call, mine: dict[str, str], key: str
) -> None:
    url = f"logged-models/{mine['model']}/tags"
    tags = [{"key": key, "value": "1"}, {"key": "other", "value": "1"}]
    assert call("PATCH", url, {"tags": tags}).status_code == 200
    assert call("DELETE", f"{url}/{quote(key, safe='')}").status_code == 200
    left = call("GET", f"logged-models/{mine['model']}").json()["model"]["info"]["tags"]
    assert [tag["key"] for tag in left] == ["other"]


def test_experiments_carry_no_location_of_their_own(call: Call) -> None:
    body = {"name": "elsewhere", "artifact_location": "s3://bucket"}
    answer = call("POST", "experiments/create", body)
    assert answer.status_code == 400
    assert "artifact_location" in answer.json()["message"]


def test_logged_model_is_no_source_for_who_may_not_read_it(
    theirs: dict[str, str], owner: User, stranger: User
) -> None:
    for uri in (f"models:/{theirs['model']}", f"runs:/{theirs['run']}/model"):
        with pytest.raises(NotFound):
            sources.resolve(uri, principal=owner)
        sources.resolve(uri, principal=stranger)


def test_who_only_manages_an_experiment_registers_nothing_from_it(
    theirs: dict[str, str], owner: User, stranger: User
) -> None:
    experiment = registry.get_experiment(theirs["experiment"])
    access.grant(experiment, Privilege.MANAGE, owner, principal=stranger)
    with pytest.raises(PermissionDenied):
        sources.resolve(f"models:/{theirs['model']}", principal=owner)
