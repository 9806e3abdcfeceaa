"""GitLab CI: triggered by the relay, decided by a manual job, told by callback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.conftest import Hub, StartRelay
from tests.examples.gitlab import GitLab, Pipeline


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[GitLab]:
    gitlab = GitLab(tmp_path / "gitlab")
    with gitlab.listening():
        yield gitlab


@pytest.fixture
def pipeline(hub: Hub, gitlab: GitLab, start_relay: StartRelay) -> Pipeline:
    relay = start_relay(
        "gitlab-ci",
        {
            "GREENLIGHT_WEBHOOK_SECRET": hub.secret,
            "GITLAB_URL": gitlab.url,
            "GITLAB_PROJECT": gitlab.project,
            "GITLAB_TRIGGER_TOKEN": gitlab.token,
        },
    )
    hub.point_at(f"{relay}/greenlight")
    assert hub.deliver() == 200
    (pipeline,) = gitlab.pipelines
    return pipeline


def test_alias_moves_when_somebody_presses_approve(
    hub: Hub, pipeline: Pipeline
) -> None:
    pipeline.go_on()
    assert pipeline.name == "prod.fraud.scorer@Champion to version 1"
    assert (pipeline.waiting, hub.status) == (["approve", "reject"], "pending")

    pipeline.press("approve", "ada")

    assert (hub.status, hub.champion) == ("applied", 1), pipeline.log
    assert hub.approval.decisions.get().comment == "approved by ada in GitLab"
    assert hub.callback_url not in pipeline.log


def test_request_is_rejected_when_somebody_presses_reject(
    hub: Hub, pipeline: Pipeline
) -> None:
    pipeline.go_on()
    pipeline.press("reject", "ada")
    assert (hub.status, hub.champion) == ("rejected", None), pipeline.log
    assert "rejected by ada in GitLab, job reject" in hub.approval.closing_reason


def test_failing_tests_reject_and_nobody_can_approve(
    hub: Hub, pipeline: Pipeline
) -> None:
    pipeline.spec["test"]["script"] = ["exit 1"]
    pipeline.go_on()
    assert pipeline.waiting == []
    assert (hub.status, hub.champion) == ("rejected", None), pipeline.log
    assert "job tests_failed" in hub.approval.closing_reason
