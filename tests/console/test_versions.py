"""A version's page and what one changes of it; aliases over time; comparing two."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel
from registry.store import tracking_store
from registry.texts import comments_of, tags_of_model, tags_of_version

Browser = Callable[[User], Client]
Make = Callable[..., ModelVersion]

MODEL = "/catalog/prod/fraud/scorer/"
VERSION = f"{MODEL}versions/1/"


@pytest.fixture
def reader(grantee: User, use: Callable[..., None], model: RegisteredModel) -> User:
    """The grantee, who may load the models of prod.fraud."""
    use(grantee, Privilege.EXECUTE)
    return grantee


@pytest.fixture
def pair(model: RegisteredModel, make_version: Make) -> list[ModelVersion]:
    """Two versions of the model with different bytes."""
    return [make_version(model, content=text) for text in ("1", "2")]


@pytest.mark.parametrize(
    "path",
    [f"{MODEL}settings/", f"{MODEL}aliases/Champion/", f"{MODEL}compare/?v=1&v=2"],
)
def test_pages_of_a_model_render_for_who_sees_it(
    browser: Browser,
    owner: User,
    reader: User,
    stranger: User,
    model: RegisteredModel,
    pair: list[ModelVersion],
    path: str,
) -> None:
    approvals.set_alias(model, "Champion", pair[0], principal=owner)
    for person in (owner, reader):
        answer = browser(person).get(path)
        assert answer.status_code == 200
        assert answer.content.decode().count("<h1") == 1
    assert browser(stranger).get(path).status_code == 404


# --- tags and descriptions --------------------------------------------------------


def test_owner_tags_and_untags_model_and_version(
    browser: Browser, owner: User, model: RegisteredModel, version: ModelVersion
) -> None:
    client, form = browser(owner), {"key": "team", "value": "fraud"}
    for page in (MODEL, VERSION):
        html = client.post(f"{page}tag/", form, follow=True).content.decode()
        assert "The tag team was set." in html
    assert tags_of_model(model) == tags_of_version(version) == {"team": "fraud"}
    for page in (MODEL, VERSION):
        client.post(f"{page}untag/", {"key": "team"})
    assert tags_of_model(model) == tags_of_version(version) == {}


def test_apply_tag_is_enough_to_tag(
    browser: Browser, owner: User, reader: User, version: ModelVersion
) -> None:
    form = {"key": "checked", "value": "yes"}
    assert browser(reader).post(f"{VERSION}tag/", form).status_code == 403
    access.grant(version.model, Privilege.APPLY_TAG, reader, principal=owner)
    assert browser(reader).post(f"{VERSION}tag/", form).status_code == 302
    assert tags_of_version(version) == {"checked": "yes"}


def test_tag_without_a_key_is_refused_with_its_value_kept(
    browser: Browser, owner: User, version: ModelVersion
) -> None:
    answer = browser(owner).post(f"{VERSION}tag/", {"key": " ", "value": "kept"})
    assert answer.status_code == 400
    assert 'value="kept"' in answer.content.decode()


def test_owner_describes_model_and_version(
    browser: Browser, owner: User, model: RegisteredModel, version: ModelVersion
) -> None:
    client = browser(owner)
    client.post(f"{MODEL}describe/", {"comment": "Scores payments"})
    client.post(f"{VERSION}describe/", {"comment": "With more data"})
    model.refresh_from_db()
    assert model.comment == "Scores payments"
    assert comments_of(model, [1]) == {1: "With more data"}
    assert "With more data" in client.get(VERSION).content.decode()


def test_others_change_nothing(
    browser: Browser, reader: User, stranger: User, version: ModelVersion
) -> None:
    form = {"key": "k", "value": "v", "comment": "c"}
    for page in (MODEL, VERSION):
        for verb in ("tag", "untag", "describe"):
            assert browser(reader).post(f"{page}{verb}/", form).status_code == 403
            assert browser(stranger).post(f"{page}{verb}/", form).status_code == 404
    assert tags_of_version(version) == {}


# --- rename and delete --------------------------------------------------------------


def test_owner_renames_after_typing_the_present_name(
    browser: Browser, owner: User, model: RegisteredModel
) -> None:
    client, form = browser(owner), {"new_name": "prod.fraud.payments"}
    refused = client.post(f"{MODEL}rename/", {**form, "typed": "scorer"})
    assert refused.status_code == 400
    assert 'value="prod.fraud.payments"' in refused.content.decode()
    form = {**form, "typed": "prod.fraud.scorer"}
    html = client.post(f"{MODEL}rename/", form, follow=True).content.decode()
    assert "is called prod.fraud.payments now" in html
    assert client.get(MODEL).status_code == 404


def test_owner_deletes_version_and_model_after_typing_their_names(
    browser: Browser, owner: User, model: RegisteredModel, pair: list[ModelVersion]
) -> None:
    client = browser(owner)
    assert client.post(f"{VERSION}delete/", {"typed": "1"}).status_code == 400
    client.post(f"{VERSION}delete/", {"typed": "prod.fraud.scorer/1"})
    html = client.get(MODEL).content.decode()
    assert "versions/2/" in html
    assert 'name="v" value="1"' not in html
    assert "Deleted" in client.get(VERSION).content.decode()
    client.post(f"{MODEL}delete/", {"typed": "prod.fraud.scorer"})
    assert client.get(MODEL).status_code == 404
    assert "No model here" in client.get("/catalog/prod/fraud/").content.decode()


def test_version_in_use_is_not_deleted(
    browser: Browser, owner: User, model: RegisteredModel, version: ModelVersion
) -> None:
    approvals.set_alias(model, "Champion", version, principal=owner)
    form = {"typed": "prod.fraud.scorer/1"}
    answer = browser(owner).post(f"{VERSION}delete/", form)
    assert answer.status_code == 409
    assert "Champion points at it" in answer.content.decode()


def test_others_neither_rename_nor_delete(
    browser: Browser, reader: User, stranger: User, version: ModelVersion
) -> None:
    for page, name in ((MODEL, "prod.fraud.scorer"), (VERSION, "prod.fraud.scorer/1")):
        form = {"typed": name, "new_name": "prod.fraud.mine"}
        for verb in ("delete", "rename") if page == MODEL else ("delete",):
            assert browser(reader).post(f"{page}{verb}/", form).status_code == 403
            assert browser(stranger).post(f"{page}{verb}/", form).status_code == 404
    version.refresh_from_db()
    assert version.status == "ready"


# --- where it comes from, who loads it ---------------------------------------------


def test_lineage_is_a_graph_with_a_table(
    browser: Browser, reviewer: User, approval: ApprovalRequest
) -> None:
    html = browser(reviewer).get(VERSION).content.decode()
    assert '<svg role="img" aria-label="Lineage of prod.fraud.scorer/1' in html
    assert f"/approvals/{approval.pk}/" in html
    assert "<path d=" in html


def test_lineage_hides_what_one_may_not_see(
    browser: Browser, owner: User, reader: User, version: ModelVersion
) -> None:
    experiment = tracking_store().create_experiment("secret", None, [])
    run = tracking_store().create_run(experiment, "owner", 0, [], "r")
    ModelVersion.objects.update(mlflow_run_id=run.info.run_id)
    html = browser(reader).get(VERSION).content.decode()
    assert "hidden object" in html
    lineage = html[html.index('id="lineage"') : html.index('id="history"')]
    assert run.info.run_id not in lineage


def test_who_loads_it_is_for_who_manages(
    browser: Browser, owner: User, reader: User, version: ModelVersion
) -> None:
    registry.record_load(version, "MLmodel", principal=reader)
    assert "1 load" in browser(owner).get(VERSION).content.decode()
    assert "Who loads it" not in browser(reader).get(VERSION).content.decode()


def test_pending_version_shows_progress_until_it_is_ready(
    browser: Browser, owner: User, version: ModelVersion
) -> None:
    ModelVersion.objects.update(status="pending", digest="", taken_bytes=2_500_000)
    client, poll = browser(owner), {"HX-Request": "true"}
    assert "2.5 MB so far" in client.get(VERSION).content.decode()
    assert client.get(VERSION, headers=poll).status_code == 200
    ModelVersion.objects.update(status="ready", digest=version.digest)
    ended = client.get(VERSION, headers=poll)
    assert (ended.status_code, ended.headers["HX-Refresh"]) == (286, "true")


def test_version_page_asks_no_query_per_alias_or_request(
    browser: Browser,
    owner: User,
    approval: ApprovalRequest,
    version: ModelVersion,
    django_assert_max_num_queries: Any,
) -> None:
    for number in range(5):
        approvals.set_alias(version.model, f"a{number}", version, principal=owner)
    client = browser(owner)
    with django_assert_max_num_queries(30):
        assert client.get(VERSION).status_code == 200


# --- aliases over time -------------------------------------------------------------


def test_alias_page_answers_what_was_on_a_day(
    browser: Browser, owner: User, model: RegisteredModel, pair: list[ModelVersion]
) -> None:
    start = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    for day, version in enumerate(pair):
        with time_machine.travel(start + dt.timedelta(days=2 * day), tick=False):
            approvals.set_alias(model, "Champion", version, principal=owner)
    client = browser(owner)
    page = f"{MODEL}aliases/champion/"
    assert "Every move" in client.get(page).content.decode()
    then = client.get(f"{page}?as_of=2026-03-02").content.decode()
    assert "At the end of 2026-03-02 in UTC" in then
    assert then.count("versions/1/") >= 1
    nothing = client.get(f"{page}?as_of=2026-02-01").content.decode()
    assert "There was no Champion" in nothing


@pytest.mark.parametrize("day", ["soon", "2026-02-31", "2026-3"])
def test_wrong_day_is_refused(
    browser: Browser,
    owner: User,
    model: RegisteredModel,
    version: ModelVersion,
    day: str,
) -> None:
    approvals.set_alias(model, "Champion", version, principal=owner)
    answer = browser(owner).get(f"{MODEL}aliases/Champion/?as_of={day}")
    assert answer.status_code == 400
    assert "as_of" in answer.content.decode()


def test_alias_that_never_was_is_not_found(
    browser: Browser, owner: User, model: RegisteredModel
) -> None:
    assert browser(owner).get(f"{MODEL}aliases/Nothing/").status_code == 404


# --- comparing ----------------------------------------------------------------------


def test_differences_come_first_and_metrics_say_how_much(
    browser: Browser, owner: User, model: RegisteredModel, pair: list[ModelVersion]
) -> None:
    experiment = registry.create_experiment("e", principal=owner)
    for version, recall in zip(pair, (0.5, 0.75), strict=True):
        run = tracking_store().create_run(experiment.experiment_id, "owner", 0, [], "r")
        run_id = run.info.run_id
        _log(run_id, {"recall": recall, "auc": 0.9}, {"depth": str(version.number)})
        ModelVersion.objects.filter(pk=version.pk).update(mlflow_run_id=run_id)
    html = browser(owner).get(f"{MODEL}compare/?v=2&v=1").content.decode()
    assert "+0.25" in html
    assert html.index("recall") < html.index("auc")
    assert "depth" in html
    assert html.index("weights.json") < html.index("MLmodel")


def test_metrics_of_a_run_that_one_may_not_read_are_left_out(
    browser: Browser, owner: User, reader: User, pair: list[ModelVersion]
) -> None:
    experiment = registry.create_experiment("e", principal=owner)
    run = tracking_store().create_run(experiment.experiment_id, "owner", 0, [], "r")
    _log(run.info.run_id, {"recall": 0.5}, {})
    ModelVersion.objects.update(mlflow_run_id=run.info.run_id)
    html = browser(reader).get(f"{MODEL}compare/?v=1&v=2").content.decode()
    assert "recall" not in html
    assert "may not read" in html


@pytest.mark.parametrize("asked", ["", "?v=1", "?v=1&v=x", "?v=1&v=2&v=3"])
def test_comparing_needs_two_versions(
    browser: Browser, owner: User, version: ModelVersion, asked: str
) -> None:
    answer = browser(owner).get(f"{MODEL}compare/{asked}")
    assert answer.status_code == 400
    assert "choose two versions" in answer.content.decode()


def _log(run_id: str, metrics: dict[str, float], params: dict[str, str]) -> None:
    from mlflow.entities import Metric, Param

    tracking_store().log_batch(
        run_id,
        [Metric(key, value, 0, 0) for key, value in metrics.items()],
        [Param(key, value) for key, value in params.items()],
        [],
    )
