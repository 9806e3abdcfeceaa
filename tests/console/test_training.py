"""Pages of pipelines, datasets and experiments, for owner, grantee and stranger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from mlflow.entities import Metric

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry import services as registry
from registry.models import Catalog, Experiment
from registry.store import tracking_store
from runners import services as runners
from runners.models import FailureClass, Pipeline, Run, RunStatus

# Fixtures of the runners' own tests.
from tests.runners.conftest import (  # noqa: F401
    dataset,
    package,
    pipeline,
    runner,
    snapshot,
    trainer,
)

Browser = Callable[[User], Client]
PIPELINE = "/pipelines/prod.fraud.training/"
DATASET = "/datasets/prod.fraud.cells/"


@pytest.fixture
def runs(pipeline: Pipeline, trainer: User) -> list[Run]:  # noqa: F811
    """Three runs: one failed, one succeeded, one waits."""
    made = [runners.start_run(pipeline, principal=trainer) for _ in range(3)]
    ended_at = timezone.now()
    ended = {
        "started_at": ended_at - dt.timedelta(minutes=2),
        "ended_at": ended_at,
        "results": {},
    }
    rows = Run.objects
    rows.filter(pk=made[0].pk).update(
        status=RunStatus.FAILED, failure_class=FailureClass.USER_CODE, **ended
    )
    rows.filter(pk=made[1].pk).update(status=RunStatus.SUCCEEDED, **ended)
    return list(rows.order_by("created_at"))


def test_list_shows_last_runs_and_how_many_succeeded(
    browser: Browser, owner: User, runs: list[Run]
) -> None:
    text = browser(owner).get("/pipelines/").content.decode()
    assert "The last 3 runs, 1 of 2 ended ones succeeded" in text
    assert ">50%<" in text
    assert text.count("<rect data-tone=") == 3


def test_page_shows_runs_details_and_what_a_run_needs(
    browser: Browser, owner: User, runs: list[Run]
) -> None:
    text = browser(owner).get(PIPELINE).content.decode()
    for said in ("Failed", "Succeeded", "Queued", "2 min", "READ DATASET", "ownership"):
        assert said in text, said
    assert 'href="/datasets/prod.fraud.cells/"' in text
    assert 'href="/catalog/prod/fraud/scorer/"' in text
    assert 'aria-current="true">Pipelines' in text


def test_runner_starts_one_run_however_often_the_form_is_sent(
    browser: Browser,
    pipeline: Pipeline,  # noqa: F811
    runner: User,  # noqa: F811
) -> None:
    client = browser(runner)
    sent = {"key": "abc", "parameters": "epochs=20\n\nrate = 0.1"}
    for _ in range(2):
        answer = client.post(f"{PIPELINE}start/", sent)
        assert answer.status_code == 302
    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert run.parameters["epochs"] == "20"
    assert run.parameters["rate"] == "0.1"
    page = client.get(answer["Location"]).content.decode()
    assert "Cancel this run" in page
    assert client.post(f"/runs/{run.pk}/cancel/").status_code == 302
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELLED


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"parameters": "epochs"}, "NAME=value"),
        ({"parameters": "PATH=x"}, "reserved"),
        ({"version": "9.9"}, "9.9"),
        ({"dataset": "prod.fraud.none"}, "prod.fraud.none"),
    ],
)
def test_what_is_wrong_is_told_on_the_page_and_nothing_starts(
    browser: Browser,
    pipeline: Pipeline,  # noqa: F811
    owner: User,
    sent: dict[str, str],
    said: str,
) -> None:
    answer = browser(owner).post(f"{PIPELINE}start/", sent)
    assert answer.status_code in {400, 404}
    assert said in answer.content.decode()
    assert not Run.objects.exists()


def test_dataset_shows_snapshots_and_their_files(
    browser: Browser,
    owner: User,
    runs: list[Run],
) -> None:
    client = browser(owner)
    assert "prod.fraud.cells" in client.get("/datasets/").content.decode()
    page = client.get(DATASET).content.decode()
    digest = runs[0].snapshot.digest
    assert f"snapshots/{digest}/" in page
    assert 'href="/pipelines/prod.fraud.training/"' in page
    files = client.get(f"{DATASET}snapshots/{digest}/").content.decode()
    assert "sub/deep/c.csv" in files


def test_runner_sees_the_dataset_only_with_a_right_to_it(
    browser: Browser,
    owner: User,
    runs: list[Run],
    runner: User,  # noqa: F811
) -> None:
    client = browser(runner)
    assert client.get(PIPELINE).status_code == 200
    assert client.get(DATASET).status_code == 404
    found = runs[0].snapshot.dataset
    access.grant(found, Privilege.WRITE_DATASET, runner, principal=owner)
    assert "snapshots/" not in client.get(DATASET).content.decode().split("<main")[1]
    files = client.get(f"{DATASET}snapshots/{runs[0].snapshot.digest}/")
    assert files.status_code == 403


def test_browser_sees_names_and_no_more(
    browser: Browser, runs: list[Run], stranger: User, admin: User, catalog: Catalog
) -> None:
    access.grant(catalog, Privilege.BROWSE, stranger, principal=admin)
    client = browser(stranger)
    for path in ("/pipelines/", "/datasets/"):
        assert "browse only" in client.get(path).content.decode()
    for path in (PIPELINE, DATASET):
        text = client.get(path).content.decode()
        assert "and no more" in text
        assert "prod.fraud.scorer" not in text
    assert client.post(f"{PIPELINE}start/").status_code == 403
    assert "No run that you may see" in client.get("/runs/").content.decode()


def test_stranger_sees_nothing_and_may_ask(
    browser: Browser, runs: list[Run], stranger: User
) -> None:
    client = browser(stranger)
    for path, kind in ((PIPELINE, "pipeline"), (DATASET, "dataset")):
        answer = client.get(path)
        assert answer.status_code == 404
        assert f"kind={kind}&amp;full_name=prod.fraud" in answer.content.decode()
    assert client.get(f"/runs/{runs[0].pk}/").status_code == 404


@pytest.mark.parametrize(("path", "most"), [("/pipelines/", 8), (PIPELINE, 36)])
def test_pages_ask_no_query_per_run(
    browser: Browser,
    owner: User,
    runs: list[Run],
    django_assert_max_num_queries: Any,
    path: str,
    most: int,
) -> None:
    for _ in range(5):
        runners.start_run(runs[0].pipeline, principal=owner)
    client = browser(owner)
    with django_assert_max_num_queries(most):
        assert client.get(path).status_code == 200


@pytest.fixture
def experiment(owner: User) -> Experiment:
    """A private experiment with a run that has four metrics."""
    made = registry.create_experiment("churn / study", principal=owner)
    store = tracking_store()
    run = store.create_run(made.experiment_id, "owner", 1_700_000_000_000, [], "first")
    for number, name in enumerate("abcd"):
        store.log_metric(run.info.run_id, Metric(name, number + 0.12345, 1, 0))
    return made


def test_experiment_shows_its_runs_and_leads_to_mlflow(
    browser: Browser, owner: User, experiment: Experiment
) -> None:
    client = browser(owner)
    listed = client.get("/experiments/").content.decode()
    assert f'href="/experiments/{experiment.pk}/"' in listed
    assert "Private" in listed
    text = client.get(f"/experiments/{experiment.pk}/").content.decode()
    assert f"/mlflow/#/experiments/{experiment.experiment_id}/runs/" in text
    assert "0.1235" in text
    assert "and 1 more" in text
    wrong = client.get(f"/experiments/{experiment.pk}/?page_token=x")
    assert wrong.status_code == 400
    tabs = client.get("/objects/experiment/churn / study/permissions/")
    assert tabs.status_code == 200


def test_grantee_reads_an_experiment_and_manager_sees_that_it_is_there(
    browser: Browser,
    owner: User,
    grantee: User,
    approver: User,
    stranger: User,
    experiment: Experiment,
) -> None:
    page = f"/experiments/{experiment.pk}/"
    access.grant(experiment, Privilege.READ_EXPERIMENT, grantee, principal=owner)
    access.grant(experiment, Privilege.MANAGE, approver, principal=owner)
    assert ">first</a>" in browser(grantee).get(page).content.decode()
    seen = browser(approver).get(page)
    assert seen.status_code == 200
    assert "first" not in seen.content.decode().split("<main")[1]
    assert browser(stranger).get(page).status_code == 404
    assert "churn" not in browser(stranger).get("/experiments/").content.decode()
