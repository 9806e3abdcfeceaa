"""A reviewer works through a request without script; its pages are looked at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone
from mlflow.entities import Metric, Param
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.drafts import CheckRule, Draft, ReviewerRule
from approvals.models import ApprovalRequest
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel
from registry.store import tracking_store
from tests.e2e.browser import PASSWORD, check, open_page, overflow, sign_in
from tests.factories import UserFactory

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def reviewers(use: Callable[..., None]) -> list[User]:
    """Anna, Ben and Cem, who review; with passwords."""
    people = [UserFactory(username=name) for name in ("anna", "ben", "cem")]
    for one in people:
        use(one, Privilege.APPROVE)
        one.set_password(PASSWORD)
        one.save()
    return people


@pytest.fixture
def compared(
    model: RegisteredModel,
    owner: User,
    reviewers: list[User],
    make_version: Callable[..., ModelVersion],
) -> ApprovalRequest:
    """A request for version 2 with evidence, decisions, comments and a delegation."""
    versions = [make_version(model, content=content) for content in "12"]
    registry.set_alias(model, "Champion", versions[0], principal=owner)
    for version, auc in zip(versions, (0.913, 0.9271), strict=True):
        _log(version, owner, auc)
    draft = Draft(
        "Champion",
        rules=(ReviewerRule(2),),
        checks=(CheckRule("ci/integration"),),
        wait_seconds=3600,
    )
    approvals.put_policy(model, draft, principal=owner)
    asked = approvals.request_alias(
        model, "Champion", versions[1], reason="Better AUC", principal=owner
    )
    anna, ben, cem = reviewers
    for one in (anna, ben):
        made = approvals.decide(
            asked, "approve", digest=asked.digest, comment="Fine.", principal=one
        )
    approvals.revoke_decision(made, principal=ben)
    approvals.comment_on(asked, "Was the hold-out set the same?", principal=ben)
    approvals.delegate_approvals(
        ben,
        ends_at=timezone.now() + dt.timedelta(days=9),
        reason="holiday",
        principal=cem,
    )
    return asked


def _log(version: ModelVersion, person: User, auc: float) -> None:
    experiment = registry.create_experiment(f"of {version.number}", principal=person)
    store = tracking_store()
    run_id = store.create_run(experiment.experiment_id, "o", 0, [], "r").info.run_id
    metrics = [Metric("auc", auc, 0, 0), Metric("log_loss", 1 - auc, 0, 0)]
    params = [Param("C", str(version.number)), Param("seed", "7")]
    store.log_batch(run_id, metrics, params, [])
    ModelVersion.objects.filter(pk=version.pk).update(mlflow_run_id=run_id)
    version.refresh_from_db()


@pytest.mark.timeout(400)
def test_reviewer_works_without_script_and_every_page_is_accessible(
    chromium: Browser,
    live_server: LiveServer,
    compared: ApprovalRequest,
    reviewers: list[User],
    shots: Path,
) -> None:
    anna, ben, _ = reviewers
    path = f"/approvals/{compared.pk}/"
    page = open_page(chromium, live_server, java_script_enabled=False)
    sign_in(page, anna)
    page.goto(path)
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_text("anna took it back")).to_be_visible()
    page.get_by_label("Your comment").fill("Looking again.")
    page.get_by_role("button", name="Comment").click()
    expect(page.get_by_text("Looking again.")).to_be_visible()
    page.goto("/approvals/delegations/")
    page.get_by_label("To", exact=True).fill("ben")
    soon = timezone.now() + dt.timedelta(days=5)
    page.get_by_label("Until, in UTC").fill(soon.strftime("%Y-%m-%dT%H:%M"))
    page.get_by_role("button", name="Delegate", exact=True).click()
    expect(page.get_by_text("ben may decide on your behalf")).to_be_visible()
    page.context.close()

    page = open_page(chromium, live_server)
    sign_in(page, ben)
    pages = {
        "request-compared": path,
        "approvals-mine": "/approvals/",
        "delegations": "/approvals/delegations/",
    }
    for name, address in pages.items():
        page.goto(address)
        check(page, name, shots)
        page.set_viewport_size({"width": 320, "height": 640})
        assert overflow(page) == 0, name
    page.goto(path)
    page.get_by_label("In the name of").select_option("cem")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("on behalf of")).to_be_visible()
