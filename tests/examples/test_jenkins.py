"""Jenkins: built by the relay, decided at the input, told by callback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.conftest import Hub, StartRelay
from tests.examples.jenkins import Build, Jenkins


@pytest.fixture
def jenkins(tmp_path: Path) -> Iterator[Jenkins]:
    jenkins = Jenkins(tmp_path / "jenkins")
    with jenkins.listening():
        yield jenkins


@pytest.fixture
def build(hub: Hub, jenkins: Jenkins, start_relay: StartRelay) -> Build:
    relay = start_relay(
        "jenkins",
        {
            "GREENLIGHT_WEBHOOK_SECRET": hub.secret,
            "JENKINS_URL": jenkins.url,
            "JENKINS_JOB": "models/greenlight approval",
            "JENKINS_USER": jenkins.user,
            "JENKINS_API_TOKEN": jenkins.api_token,
        },
    )
    hub.point_at(f"{relay}/greenlight")
    assert hub.deliver() == 200
    (build,) = jenkins.builds
    return build


def test_alias_moves_when_a_submitter_proceeds(hub: Hub, build: Build) -> None:
    build.go_on()
    assert (build.is_waiting, hub.status) == (True, "pending"), build.log

    build.proceed("ada")

    assert (hub.status, hub.champion) == ("applied", 1), build.log
    decision = hub.approval.decisions.get()
    assert decision.comment == "approved by ada in Jenkins"
    assert hub.callback_url not in build.log


def test_request_is_rejected_when_the_build_is_aborted(hub: Hub, build: Build) -> None:
    build.go_on()
    build.abort()
    assert (hub.status, hub.champion) == ("rejected", None), build.log
    assert "aborted in Jenkins" in hub.approval.closing_reason


def test_failing_tests_reject(hub: Hub, build: Build) -> None:
    build.test = build.test.replace('test "${#DIGEST}" -eq 64', "exit 1")
    build.go_on()
    assert (build.result, hub.status) == ("failure", "rejected"), build.log
    assert "tests failed in Jenkins" in hub.approval.closing_reason
