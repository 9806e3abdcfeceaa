"""What the writes of programs cost, in statements: the numbers may fall, not rise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from sqlalchemy import event

from access.models import User
from events.verification import verify_chain
from registry import artifacts
from registry.models import ModelVersion, RegisteredModel
from registry.store import engine
from tests.conftest import MLMODEL

API = "/api/2.0/mlflow"
Headers = Callable[[User], dict[str, str]]


@pytest.fixture
def source(post: Callable[..., Any], upload: Callable[..., Any]) -> dict[str, str]:
    """The files of a run, as MLflow's client names them when it registers them."""
    experiment = post("experiments/create", name="training")["experiment_id"]
    run_id = post("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    place = f"{experiment}/{run_id}/artifacts/model"
    upload(f"{place}/MLmodel", MLMODEL.encode())
    upload(f"{place}/weights.json", b"1")
    return {"source": f"runs:/{run_id}/model", "run_id": run_id}


def no_session_of_mlflows(*_: object) -> None:
    raise AssertionError("a hot write went through SQLAlchemy")


@pytest.fixture
def only_django() -> Iterator[None]:
    """Let no statement pass that Django does not count."""
    event.listen(engine(), "before_cursor_execute", no_session_of_mlflows)
    yield
    event.remove(engine(), "before_cursor_execute", no_session_of_mlflows)


def test_creating_a_version_costs_few_statements(
    model: RegisteredModel,
    post: Callable[..., Any],
    source: dict[str, str],
    only_django: None,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    name = model.full_name
    post("model-versions/create", name=name, **source)
    tags = [{"key": key, "value": "1"} for key in ("a", "b")]
    # token; model, rights; rights on the run, its place; the catalog's rules; then in
    # one transaction the model, a replay?, MLflow's model, version and tags, our
    # version, the chain, events, chain, outbox; and the answer
    with django_assert_num_queries(17 + 2):  # a savepoint of the test's transaction
        made = post("model-versions/create", name=name, tags=tags, **source)
    assert made["model_version"]["status"] == "READY"
    assert made["model_version"]["version"] == "2"
    assert artifacts.verify(model.versions.get(number=2)) == []
    assert list(verify_chain()) == []


def test_setting_an_alias_costs_few_statements(
    version: ModelVersion,
    post: Callable[..., Any],
    only_django: None,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    name = version.model.full_name
    post("registered-models/alias", name=name, alias="good", version="1")
    # token; model, rights, version, policies; then in one transaction the model,
    # version, alias, MLflow's alias, ours, its move, the chain, event, chain, outbox
    with django_assert_num_queries(15 + 2):  # a savepoint of the test's transaction
        post("registered-models/alias", name=name, alias="good", version="1")


def test_creating_what_is_there_costs_few_statements(
    model: RegisteredModel,
    client: Client,
    owner: User,
    bearer: Headers,
    only_django: None,
    django_assert_max_num_queries: Any,
) -> None:
    """MLflow's client tries to create the model before every registration."""
    headers = bearer(owner)
    for _ in range(2):
        # token; schema, model, rights, model, what it registered; and five savepoints
        with django_assert_max_num_queries(6 + 5):
            answer = client.post(
                f"{API}/registered-models/create",
                json.dumps({"name": model.full_name}),
                content_type="application/json",
                headers=headers,
            )
    assert answer.json()["error_code"] == "RESOURCE_ALREADY_EXISTS"
