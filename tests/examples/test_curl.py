"""The shell script: list, show, approve, reject and check with a narrow token."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from registry.models import RegisteredModel
from tests.examples.conftest import Hub
from tests.examples.standins import EXAMPLES
from tests.factories import UserFactory

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(
    hub: Hub, live_server: LiveServer, use: Callable[..., None], tmp_path: Path
) -> Script:
    """Run approve.sh as somebody with APPROVE, by a token for nothing else."""
    person: User = UserFactory(username="ada")
    use(person, Privilege.APPROVE, Privilege.EXECUTE)
    token = tmp_path / "token"
    token.write_text(
        access.issue_token(
            person, "shell", scopes=["approvals:decide"], principal=person
        )
    )

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(EXAMPLES / "curl/approve.sh"), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "GREENLIGHT_URL": live_server.url,
                "GREENLIGHT_TOKEN_FILE": str(token),
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_what_waits_is_listed_looked_at_and_approved(hub: Hub, script: Script) -> None:
    listed = script("list").stdout
    request, what, *_, digest = listed.split()
    assert what == "prod.fraud.scorer@Champion"
    assert '"unmet"' in script("show", request).stdout

    approved = script("approve", request, digest, 'fine "by" me; $(id)')

    expected = "applied: prod.fraud.scorer@Champion to version 1\n"
    assert approved.stdout == expected, approved.stderr
    assert hub.champion == 1
    assert hub.approval.decisions.get().comment == 'fine "by" me; $(id)'
    assert script("list").stdout == ""


def test_rejecting_closes(hub: Hub, script: Script) -> None:
    done = script("reject", str(hub.approval.pk), hub.approval.digest, "drift")
    assert done.stdout.startswith("rejected: ")
    assert hub.status == "rejected"


def test_check_is_reported(
    hub: Hub, script: Script, model: RegisteredModel, owner: User
) -> None:
    approvals.create_policy(model, "Champion*", checks=["ci"], principal=owner)
    arguments = ("check", str(hub.approval.pk), hub.approval.digest, "ci")
    assert script(*arguments, "false", "too slow").stdout == "ci: failed\n"
    assert script(*arguments, "true").stdout == "ci: passed\n"


def test_refusals_are_told_and_fail(hub: Hub, script: Script) -> None:
    other = script("approve", str(hub.approval.pk), "0" * 64)
    assert other.returncode != 0
    assert "not the digest of this request" in other.stdout + other.stderr
    assert hub.status == "pending"
    wrong = script("approve", str(hub.approval.pk))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "approve REQUEST DIGEST" in wrong.stderr
    unset = script("list", GREENLIGHT_URL="")
    assert "set it to the address of Greenlight" in unset.stderr
