"""A person looks at experiments and runs in MLflow's own pages, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from access.models import User

# Fixtures of the console's story and of the wire tests.
from tests.e2e.conftest import chromium, shots  # noqa: F401
from tests.mlflow_api.conftest import Post, bearer, client, post  # noqa: F401

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery"


@pytest.fixture
def run(post: Post, client: Client, owner: User) -> dict[str, str]:  # noqa: F811
    """A run with a parameter, a metric over three steps, and a file."""
    experiment_id = post("experiments/create", name="churn study")["experiment_id"]
    made = post(
        "runs/create",
        experiment_id=experiment_id,
        run_name="first try",
        start_time=1_700_000_000_000,
    )
    run_id = made["run"]["info"]["run_id"]
    post("runs/log-parameter", run_id=run_id, key="depth", value="7")
    metrics = [
        {"key": "accuracy", "value": value, "timestamp": 1_700_000_000_000, "step": at}
        for at, value in enumerate((0.7, 0.8, 0.9375))
    ]
    post("runs/log-batch", run_id=run_id, metrics=metrics)
    return {"experiment": experiment_id, "run": run_id}


def test_experiment_and_run_come_up(
    chromium: Browser,  # noqa: F811
    live_server: LiveServer,
    owner: User,
    run: dict[str, str],
    shots: Path,  # noqa: F811
) -> None:
    page, refused = _sign_in(chromium, live_server, owner)
    page.get_by_role("link", name="churn study").click()
    experiment = f"/mlflow/#/experiments/{run['experiment']}"

    page.goto(f"{experiment}/runs?workflowType=machine_learning")
    expect(page.get_by_role("link", name="first try")).to_be_visible()
    page.screenshot(path=shots / "mlflow-runs.png")

    page.goto(f"{experiment}/runs/{run['run']}")
    expect(page.get_by_text("0.9375").first).to_be_visible()
    expect(page.get_by_text("depth").first).to_be_visible()
    page.get_by_text("Add tags").first.click()
    page.screenshot(path=shots / "mlflow-run.png")
    assert not refused


def _sign_in(
    browser: Browser, server: LiveServer, person: User
) -> tuple[Page, list[str]]:
    """Come to MLflow's page through the console's sign-in; note what is complained."""
    person.set_password(PASSWORD)
    person.save()
    context = browser.new_context(
        base_url=server.url, viewport={"width": 1280, "height": 800}
    )
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda said: _note(said.text, refused))
    # MLflow's page shows hints over its tables, whenever it has loaded them
    hint = page.get_by_role("button", name="Got it")
    page.add_locator_handler(hint, lambda: hint.click())
    page.goto("/mlflow/#/experiments?workflowType=machine_learning")
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/mlflow/**")
    page.goto("/mlflow/#/experiments?workflowType=machine_learning")
    return page, refused


def _note(said: str, refused: list[str]) -> None:
    if "Content Security Policy" in said or "500" in said:
        refused.append(said)
