"""Who only browses sees that pipelines and datasets are there, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry.models import Catalog
from runners import services as runners
from runners.models import Dataset, Pipeline, Run

PIPELINE, DATASET = "pipelines/prod.fraud.training", "datasets/prod.fraud.cells"
Call = Callable[..., Any]


@pytest.fixture
def run(pipeline: Pipeline, trainer: User) -> Run:
    return runners.start_run(pipeline, principal=trainer)


@pytest.fixture
def browser(run: Run, catalog: Catalog, grantee: User, admin: User) -> User:
    """The grantee, who holds BROWSE on prod and nothing else."""
    access.grant(catalog, Privilege.BROWSE, grantee, principal=admin)
    return grantee


def test_browser_gets_name_comment_and_owner_of_a_pipeline(
    call: Call, browser: User
) -> None:
    [listed] = call(browser, "get", "pipelines").json()["pipelines"]
    shown = call(browser, "get", PIPELINE).json()
    assert listed == shown
    assert (shown["browse_only"], shown["owner"]) == (True, "owner")
    assert not {"run_as", "target_model", "parameters", "package"} & set(shown)


def test_browser_gets_name_comment_and_owner_of_a_dataset(
    call: Call, browser: User
) -> None:
    [listed] = call(browser, "get", "datasets").json()["datasets"]
    shown = call(browser, "get", DATASET).json()
    assert listed == shown
    assert (shown["browse_only"], shown["owner"]) == (True, "owner")


def test_browser_is_refused_runs_and_snapshots(
    call: Call, browser: User, run: Run
) -> None:
    digest = run.snapshot.digest
    for method, path in (
        ("get", f"{PIPELINE}/runs"),
        ("post", f"{PIPELINE}/runs"),
        ("get", f"{DATASET}/snapshots"),
        ("get", f"{DATASET}/snapshots/{digest}"),
    ):
        refused = call(browser, method, path)
        assert refused.status_code == 403, path
        assert refused.json()["details"]["reasons"], path
    assert call(browser, "get", f"runs/{run.pk}").status_code == 404
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("privilege", "path"),
    [
        (Privilege.RUN_TRAINING, PIPELINE),
        (Privilege.RUN_SCORING, PIPELINE),
        (Privilege.READ_DATASET, DATASET),
        (Privilege.WRITE_DATASET, DATASET),
    ],
)
def test_grantee_of_a_right_to_its_data_gets_the_details(
    call: Call,
    browser: User,
    pipeline: Pipeline,
    owner: User,
    use: Callable[..., None],
    privilege: Privilege,
    path: str,
) -> None:
    use(browser)
    found: Pipeline | Dataset | None = (
        pipeline if path == PIPELINE else pipeline.dataset
    )
    assert found is not None
    access.grant(found, privilege, browser, principal=owner)
    assert call(browser, "get", path).json()["browse_only"] is False


def test_owner_and_container_owner_get_the_details(
    call: Call, run: Run, owner: User, stranger: User
) -> None:
    schema = run.pipeline.schema
    access.transfer_ownership(schema, stranger, principal=schema.owner)
    for who in (owner, stranger):
        shown = call(who, "get", PIPELINE).json()
        assert shown["target_model"] == "prod.fraud.scorer"
        assert call(who, "get", f"{PIPELINE}/runs").json()["runs"]
        assert call(who, "get", f"{DATASET}/snapshots").json()["snapshots"]


def test_stranger_sees_neither(call: Call, run: Run, stranger: User) -> None:
    assert call(stranger, "get", "pipelines").json()["pipelines"] == []
    assert call(stranger, "get", "datasets").json()["datasets"] == []
    for path in (PIPELINE, DATASET):
        assert call(stranger, "get", path).status_code == 404
