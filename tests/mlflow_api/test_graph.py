"""GraphQL of MLflow's pages: four queries, each with the check of its route."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from access.models import User
from tests.mlflow_api.conftest import Post

RUN = """query GetRun($data: MlflowGetRunInput!) @component(name: "x") {
  mlflowGetRun(input: $data) { run { info { runName userId }
    experiment { name } modelVersions { name version } data { params { key value } } } }
}"""
SEARCH = """query Q($data: MlflowSearchRunsInput!) {
  mlflowSearchRuns(input: $data) { runs { info { runName } } } }"""
HISTORY = """query Q($data: MlflowGetMetricHistoryBulkIntervalInput!) {
  mlflowGetMetricHistoryBulkInterval(input: $data) { metrics { value } } }"""
EXPERIMENT = """query Q($data: MlflowGetExperimentInput!) {
  mlflowGetExperiment(input: $data) { experiment { name } } }"""


@pytest.fixture
def run(post: Post) -> dict[str, str]:
    experiment = post("experiments/create", name="study")["experiment_id"]
    info = post(
        "runs/create", experiment_id=experiment, run_name="first", start_time=1
    )["run"]["info"]
    post("runs/log-metric", run_id=info["run_id"], key="auc", value=0.5, timestamp=1)
    return {"run": info["run_id"], "experiment": experiment}


def ask(client: Client, user: User, query: Any, data: Any = None, **more: Any) -> Any:
    client.force_login(user)
    body = {"query": query, "variables": {"data": data}, **more}
    return client.post(
        "/mlflow/graphql",
        body,
        "application/json",
        headers={"Origin": "http://testserver"},
    )


def queries(run: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (RUN, {"runId": run["run"]}),
        (EXPERIMENT, {"experimentId": run["experiment"]}),
        (HISTORY, {"runIds": [run["run"]], "metricKey": "auc"}),
        (SEARCH, {"experimentIds": [run["experiment"]]}),
    ]


def test_owner_gets_what_the_pages_ask_for(
    client: Client, owner: User, run: dict[str, str]
) -> None:
    bodies = [ask(client, owner, *query).json()["data"] for query in queries(run)]
    assert bodies[0]["mlflowGetRun"]["run"]["info"]["runName"] == "first"
    assert bodies[0]["mlflowGetRun"]["run"]["experiment"]["name"] == "study"
    assert bodies[1]["mlflowGetExperiment"]["experiment"]["name"] == "study"
    history = bodies[2]["mlflowGetMetricHistoryBulkInterval"]
    assert [metric["value"] for metric in history["metrics"]] == [0.5]
    assert len(bodies[3]["mlflowSearchRuns"]["runs"]) == 1


def test_stranger_gets_none_of_it(
    client: Client, stranger: User, run: dict[str, str]
) -> None:
    *refused, search = [ask(client, stranger, *query) for query in queries(run)]
    assert {answer.status_code for answer in refused} == {404}
    assert search.json()["data"]["mlflowSearchRuns"]["runs"] == []


def test_one_refused_field_among_others_refuses_all(
    client: Client, stranger: User, run: dict[str, str]
) -> None:
    query = (
        'query { mlflowSearchRuns(input: {experimentIds: ["0"]}) { runs { info { runId } } }'
        ' other: mlflowGetRun(input: {runId: "%s"}) { run { info { runId } } } }'
    )
    answer = ask(client, stranger, query % run["run"])
    assert answer.status_code == 404
    assert "data" not in answer.json()


@pytest.mark.parametrize(
    "query",
    [
        "query { mlflowSearchModelVersions(input: {}) { modelVersions { name } } }",
        'query { mlflowListArtifacts(input: {runId: "x"}) { rootUri } }',
        'query { test(inputString: "x") { output } }',
        "query { __schema { types { name } } }",
        'mutation { testMutation(inputString: "x") { output } }',
        'mutation { mlflowSearchRuns(input: {experimentIds: ["1"]}) { runs { info { runId } } } }',
    ],
)
def test_other_fields_are_refused(client: Client, owner: User, query: str) -> None:
    assert ask(client, owner, query).status_code == 403


@pytest.mark.parametrize(
    "query", ["", "{", "query {", 1, None, "{ a " * 50, "query Q { nothing }"]
)
def test_what_is_no_query_is_refused(client: Client, owner: User, query: Any) -> None:
    assert ask(client, owner, query).status_code == 400


@pytest.mark.parametrize(
    "more", [{"extensions": {}}, {"variables": [1]}, {"operationName": 3}]
)
def test_odd_bodies_are_refused(
    client: Client, owner: User, run: dict[str, str], more: dict[str, Any]
) -> None:
    assert ask(client, owner, RUN, {"runId": run["run"]}, **more).status_code == 400


def test_token_reaches_it_no_more_than_its_own_routes(client: Client) -> None:
    assert client.post("/graphql", {}, "application/json").status_code == 403
    assert client.post("/mlflow/graphql", {}, "application/json").status_code == 401
