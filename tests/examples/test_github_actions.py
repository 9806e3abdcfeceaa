"""GitHub Actions: dispatched by the relay, decided by the reviewers, told by callback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.conftest import Hub, StartRelay
from tests.examples.github import GitHub, Run


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    github = GitHub(tmp_path / "github")
    with github.listening():
        yield github


@pytest.fixture
def run(hub: Hub, github: GitHub, start_relay: StartRelay) -> Run:
    """The run that the real delivery of a real request started."""
    relay = start_relay(
        "github-actions",
        {
            "GREENLIGHT_WEBHOOK_SECRET": hub.secret,
            "GITHUB_API_URL": github.url,
            "GITHUB_REPOSITORY": github.repository,
            "GITHUB_TOKEN": github.token,
        },
    )
    hub.point_at(f"{relay}/greenlight")
    assert hub.deliver() == 200
    (run,) = github.runs
    run.go_on()
    return run


def test_alias_moves_when_the_reviewers_approve(hub: Hub, run: Run) -> None:
    assert run.name.split() == [
        "prod.fraud.scorer@Champion",
        *("to", "version", "1"),
    ]
    assert run.group == f"greenlight-{hub.approval.id}"
    assert (run.waiting, hub.status, hub.champion) == (["greenlight"], "pending", None)

    run.go_on({"greenlight": True})

    assert (hub.status, hub.champion) == ("applied", 1), run.log
    results = {name: job["result"] for name, job in run.jobs.items()}
    assert results == {"test": "success", "approve": "success", "reject": "skipped"}
    decision = hub.approval.decisions.get()
    assert decision.comment == "approved in GitHub Actions, run 1"
    assert hub.callback_url not in run.log


def test_request_is_rejected_when_they_refuse(hub: Hub, run: Run) -> None:
    run.go_on({"greenlight": False})
    assert (hub.status, hub.champion) == ("rejected", None), run.log
    assert "rejected in GitHub Actions, run 1" in hub.approval.closing_reason


def test_failing_tests_reject(hub: Hub, run: Run, github: GitHub) -> None:
    github.workflow["jobs"]["test"]["steps"][1]["run"] = "exit 1"
    again = Run(github, dict(run.github["event"]["client_payload"]), 2)
    again.go_on()
    results = {name: job["result"] for name, job in again.jobs.items()}
    assert results == {"test": "failure", "approve": "skipped", "reject": "success"}
    assert (hub.status, hub.champion) == ("rejected", None), again.log


def test_an_answer_that_does_not_get_through_rejects_nothing(
    hub: Hub, run: Run
) -> None:
    run.variables["CALLBACK_URL"] = "http://127.0.0.1:9/gone"
    run.variables["DIGEST"] = hub.approval.digest
    run.go_on({"greenlight": True})
    results = {name: job["result"] for name, job in run.jobs.items()}
    assert results == {"test": "success", "approve": "failure", "reject": "skipped"}
    assert hub.status == "pending"
