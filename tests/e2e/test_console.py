"""A person walks through the console in a real browser.

Signing in, reading, approving and steering are done as a person does them; then
every page is looked at in both themes and two widths, and checked by axe.
Screenshots go to GREENLIGHT_SCREENSHOTS, or to the test's own directory.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone
from mlflow.entities import Metric
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest
from registry import services as registry
from registry.models import Experiment, ModelVersion, Schema
from registry.store import tracking_store
from runners import services as runners
from runners.models import Run
from serving.models import Rollout

# Fixtures of the console's own tests.
from tests.console.conftest import (  # noqa: F401
    approval,
    endpoint,
    pilot,
    reviewer,
    rollout,
)
from tests.e2e.browser import (
    PASSWORD,
    check,
    open_page,
    overflow,
    sign_in,
)
from tests.runners.packages import package

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

MODEL = "/catalog/prod/fraud/scorer/"
GRANTS = "/objects/model/prod.fraud.scorer/permissions/"
ENDPOINT = "/endpoints/prod.fraud.payments/"


@pytest.fixture
def steered(rollout: Rollout, pilot: User) -> User:  # noqa: F811
    """The approver with a password, while a canary is in its first step."""
    pilot.set_password(PASSWORD)
    pilot.save()
    return pilot


@pytest.fixture
def keeper(admin: User, owner: User, rollout: Rollout, grantee: User) -> User:  # noqa: F811
    """The admin with a password, and what one keeps: a group, a service, tags."""
    admin.set_password(PASSWORD)
    admin.save()
    model = rollout.endpoint.model
    team = access.create_group("fraud-team", principal=admin)
    access.add_member(team, grantee, principal=admin)
    job = access.create_service_principal("scoring-job", owner, principal=admin)
    access.issue_token(job, "ci", principal=owner)
    soon = timezone.now() + dt.timedelta(days=20)
    access.grant(model, Privilege.EXECUTE, team, expires_at=soon, principal=owner)
    access.grant(model, Privilege.EXECUTE, job, principal=owner)
    access.request_access(
        "model", model.full_name, ["EXECUTE"], reason="Replay", principal=grantee
    )
    registry.set_model_tag(model, "team", "fraud", principal=owner)
    registry.create_model(f"prod.fraud.{'long_name_' * 9}", principal=owner)
    return admin


@pytest.fixture
def browsing(stranger: User, admin: User, schema: Schema) -> User:
    """The stranger with a password, who holds BROWSE on prod and nothing else."""
    stranger.set_password(PASSWORD)
    stranger.save()
    access.grant(schema.catalog, Privilege.BROWSE, stranger, principal=admin)
    return stranger


@pytest.fixture
def trained(owner: User, approver: User, schema: Schema, rollout: Rollout) -> Run:  # noqa: F811
    """A pipeline with runs, its data, and an experiment that the owner shares."""
    for privilege in (
        Privilege.CREATE_DATASET,
        Privilege.CREATE_PIPELINE,
        Privilege.CREATE_EXPERIMENT,
    ):
        access.grant(schema, privilege, owner, principal=schema.owner)
    data = runners.create_dataset(
        "prod.fraud.cells", comment="Cells of 2026, by plate", principal=owner
    )
    files = [(f"plate{n}/cells.csv", io.BytesIO(b"1,2\n" * n)) for n in range(1, 5)]
    runners.create_snapshot(data, files, principal=owner)
    code = runners.create_package("prod.fraud.tree", principal=owner)
    runners.upload_package(code, package(), principal=owner)
    pipeline = runners.create_pipeline(
        "prod.fraud.training",
        code,
        rollout.endpoint.model.full_name,
        dataset=data.full_name,
        request_alias="Champion",
        parameters={"epochs": "20"},
        principal=owner,
    )
    access.grant(pipeline, Privilege.RUN_TRAINING, approver, principal=owner)
    access.grant(data, Privilege.READ_DATASET, approver, principal=owner)
    for number in range(12):
        _end(runners.start_run(pipeline, principal=owner), number)
    study = registry.create_experiment("prod.fraud.study", principal=owner)
    access.grant(study, Privilege.READ_EXPERIMENT, approver, principal=owner)
    registry.create_experiment("churn of the autumn", principal=owner)
    store = tracking_store()
    for number in range(3):
        run = store.create_run(
            study.experiment_id, "owner", 1_790_000_000_000, [], f"depth {number}"
        )
        store.log_metric(run.info.run_id, Metric("recall", 0.94 + number / 100, 1, 0))
        store.log_metric(run.info.run_id, Metric("loss", 0.2 - number / 100, 1, 0))
    return Run.objects.latest("created_at")


def _end(run: Run, number: int) -> None:
    """Let a run end, one in four badly, after some minutes; the last still runs."""
    if number == 11:
        Run.objects.filter(pk=run.pk).update(
            status="running", started_at=timezone.now()
        )
        return
    is_bad = number % 4 == 2
    Run.objects.filter(pk=run.pk).update(
        status="failed" if is_bad else "succeeded",
        failure_class="user_code" if is_bad else "",
        failure_summary="ValueError: could not convert string to float" * is_bad,
        results={},
        started_at=timezone.now() - dt.timedelta(minutes=3 + number * 7 % 12),
        ended_at=timezone.now(),
    )


@pytest.fixture
def waiting(
    rollout: Rollout,  # noqa: F811
    make_version: Callable[..., ModelVersion],
) -> ApprovalRequest:
    """A request for version 3 that nobody has decided on."""
    model = rollout.endpoint.model
    return approvals.request_alias(
        model,
        "Champion",
        make_version(model, content="3"),
        reason="Recall 0.962 against 0.947 on the hold-out set.",
        principal=model.owner,
    )


def test_person_signs_in_reads_approves_and_steers(
    chromium: Browser, live_server: LiveServer, steered: User, waiting: ApprovalRequest
) -> None:
    page = open_page(chromium, live_server)
    sign_in(page, steered)
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, approver")

    page.get_by_role("link", name="Catalog", exact=True).click()
    page.get_by_role("link", name="fraud").click()
    page.get_by_role("link", name="scorer").click()
    page.get_by_role("link", name="Review", exact=True).click()
    page.get_by_label("Comment", exact=True).fill("The confusion matrix is fine.")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("You approved")).to_be_visible()
    expect(page.get_by_text("The confusion matrix is fine.")).to_be_visible()
    waiting.refresh_from_db()
    assert waiting.status == "applied"

    page.goto(ENDPOINT)
    page.get_by_role("link", name="Pause").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("prod.fraud.payments")
    dialog.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Pause: done.")).to_be_visible()
    assert Rollout.objects.filter(status="paused").exists()


def test_traffic_is_steered_without_script(
    chromium: Browser, live_server: LiveServer, steered: User
) -> None:
    page = open_page(chromium, live_server, java_script_enabled=False)
    sign_in(page, steered)
    page.goto(ENDPOINT)
    page.get_by_role("link", name="Abort").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Abort")
    page.get_by_role("button", name="Abort").click()
    expect(page.get_by_text("Abort: done.")).to_be_visible()
    assert not Rollout.objects.filter(status="step").exists()


def test_polling_shows_what_changed_elsewhere(
    chromium: Browser, live_server: LiveServer, steered: User
) -> None:
    page = open_page(chromium, live_server)
    sign_in(page, steered)
    page.goto(ENDPOINT)
    Rollout.objects.update(status="rolled_back", reason="the deadline is over")
    expect(page.get_by_text("The deadline is over")).to_be_visible(timeout=15_000)


@pytest.mark.timeout(600)
def test_every_page_is_accessible_in_both_themes_and_on_small_screens(
    chromium: Browser,
    live_server: LiveServer,
    steered: User,
    keeper: User,
    waiting: ApprovalRequest,
    trained: Run,
    browsing: User,
    shots: Path,
) -> None:
    pages = {
        "home": "/",
        "catalogs": "/catalog/",
        "schema": "/catalog/prod/fraud/",
        "model": MODEL,
        "version": f"{MODEL}versions/2/",
        "approvals": "/approvals/?show=all",
        "request": f"/approvals/{waiting.pk}/",
        "policies": "/approvals/policies/",
        "endpoints": "/endpoints/",
        "endpoint": ENDPOINT,
        "confirm": f"{ENDPOINT}abort/",
        "pipelines": "/pipelines/",
        "pipeline": "/pipelines/prod.fraud.training/",
        "runs": "/runs/",
        "run": f"/runs/{trained.pk}/",
        "datasets": "/datasets/",
        "dataset": "/datasets/prod.fraud.cells/",
        "snapshot": f"/datasets/prod.fraud.cells/snapshots/{trained.snapshot.digest}/",
        "experiments": "/experiments/",
        "experiment": f"/experiments/{_study().pk}/",
        "activity": "/activity/",
        "account": "/account/",
        "my-permissions": GRANTS,
        "missing": "/catalog/prod/fraud/nothing/",
        "ask-for-access": "/access-requests/ask/?kind=model&full_name=prod.fraud.x",
        "asked-for-access": "/access-requests/?show=asked",
        "refused": f"{GRANTS}grant/",
    }
    _look_at(pages, open_page(chromium, live_server), steered, shots)
    person = f"?principal={steered.username}"
    policy = f"/approvals/policies/{waiting.policy_id}/"
    managed = {
        "policy": policy,
        "policy-change": f"{policy}change/",
        "policy-new": "/approvals/policies/new/?kind=model&full_name=prod.fraud.scorer",
        "catalog": "/catalog/prod/",
        "permissions": GRANTS,
        "permissions-of-endpoint": "/objects/endpoint/prod.fraud.payments/permissions/",
        "grant": f"{GRANTS}grant/",
        "change": f"{GRANTS}change/{person}&add=apply_tag&add=execute",
        "revoke": f"{GRANTS}change/{person}&remove=execute",
        "why": f"{GRANTS}why/{person}&operation=move_alias",
        "who-could": f"{GRANTS}who/",
        "transfer": f"/objects/model/prod.fraud.scorer/transfer/?owner={steered}",
        "transfer-to": "/objects/model/prod.fraud.scorer/transfer/",
        "object-activity": "/objects/catalog/prod/activity/",
        "settings": f"{MODEL}settings/",
        "catalog-settings": "/objects/catalog/prod/settings/",
        "schema-settings": "/objects/schema/prod.fraud/settings/",
        "version-managed": f"{MODEL}versions/1/",
        "alias": f"{MODEL}aliases/Champion/?as_of=2026-01-01",
        "compare": f"{MODEL}compare/?v=1&v=2",
        "access-requests": "/access-requests/",
        "search": "/search/?q=fraud",
        "search-empty": "/search/",
        "principals": "/principals/",
        "services": "/principals/?kind=service",
        "group": "/principals/fraud-team/",
        "service": "/principals/scoring-job/",
        "webhooks-none": "/webhooks/",
        "activity-filtered": "/activity/?outcome=success&since=2026-01-01",
        "audit-log": "/activity/log/",
    }
    _look_at(managed, open_page(chromium, live_server), keeper, shots)
    browsed = {
        "browsed-schema": "/catalog/prod/fraud/",
        "browsed-model": MODEL,
        "browsed-endpoints": "/endpoints/",
        "browsed-endpoint": ENDPOINT,
        "browsed-pipelines": "/pipelines/",
        "none-pipelines": "/pipelines/?schema=prod.other",
    }
    _look_at(browsed, open_page(chromium, live_server), browsing, shots)


def _study() -> Experiment:
    found: Experiment = Experiment.objects.get(name="prod.fraud.study")
    return found


def _look_at(pages: dict[str, str], page: Page, person: User, shots: Path) -> None:
    check(page, "sign-in", shots)
    sign_in(page, person)
    for name, path in pages.items():
        page.goto(path)
        check(page, name, shots)
    page.context.close()


def test_rest_is_tried_out_in_its_page(
    chromium: Browser, live_server: LiveServer, steered: User, shots: Path
) -> None:
    page = open_page(chromium, live_server)
    sign_in(page, steered)
    page.goto("/api/v1/docs/")
    page.locator("#operations-tag-catalogs").click()
    row = page.locator("#operations-catalogs-catalog_list_get")
    row.locator(".opblock-summary-control").click()
    row.get_by_role("button", name="Try it out").click()
    row.get_by_role("button", name="Execute").click()
    expect(row.locator(".live-responses-table")).to_contain_text('"name": "prod"')
    page.screenshot(path=shots / "api-light-1280.png")


def test_pages_fit_the_narrowest_screen(
    chromium: Browser, live_server: LiveServer, steered: User, waiting: ApprovalRequest
) -> None:
    page = open_page(chromium, live_server, viewport={"width": 320, "height": 640})
    sign_in(page, steered)
    for path in ("/", MODEL, f"/approvals/{waiting.pk}/", ENDPOINT, "/activity/"):
        page.goto(path)
        assert overflow(page) == 0, path
