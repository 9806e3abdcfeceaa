"""Web and worker are killed between a decision and its delivery, step by step.

Nothing is lost, nothing is applied twice, and the receiver sees the same webhook-id
when it is told again. One stack of real processes serves all steps.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.conftest import MLMODEL
from tests.e2e.stack import ROOT, Stack, wait_for
from tests.faults.test_delivery_killed import Receiver

pytestmark = [pytest.mark.faults, pytest.mark.timeout(500)]

SETUP = """
import json, os, pathlib, django
django.setup()
from access import services as access
from access.models import User
from access.privileges import Privilege as P
from approvals import services as approvals
from registry import services as registry
from webhooks import services as webhooks

admin = User.objects.get(is_superuser=True)
owner = access.create_user("olga", principal=admin)
reviewer = access.create_user("rosa", principal=admin)
schema = registry.get_schema("prod.fraud")
for person in (owner, reviewer):
    access.grant(schema.catalog, P.USE_CATALOG, person, principal=admin)
    access.grant(schema, P.USE_SCHEMA, person, principal=admin)
access.grant(schema, P.CREATE_MODEL, owner, principal=admin)
access.grant(schema, P.APPROVE, reviewer, principal=admin)
model = registry.create_model("prod.fraud.scorer", principal=owner)
source = pathlib.Path(os.environ["SOURCE"])
version = registry.create_version_from_directory(model, source, principal=owner)
approvals.create_policy(model, "step-*", principal=owner)
webhooks.create_webhook(
    os.environ["RECEIVER"], ["approval.*", "alias.set"], principal=admin
)
asked = {}
for step in ("commit", "relay", "delivery"):
    made = approvals.request_alias(model, f"step-{step}", version, principal=owner)
    asked[step] = str(made.id)
token = access.issue_token(reviewer, "test", principal=reviewer)
print(json.dumps({"asked": asked, "token": token, "digest": version.digest}))
"""


class Scene:
    """A stack, a receiver, and one request for every step at which to kill."""

    def __init__(self, stack: Stack, receiver: Receiver, said: dict[str, Any]) -> None:
        self.stack, self.receiver = stack, receiver
        self.asked, self.token, self.digest = (
            said["asked"],
            said["token"],
            said["digest"],
        )

    def decide(self, step: str) -> httpx.Response:
        path = f"/api/v1/approvals/{self.asked[step]}/decisions"
        body = {"decision": "approve", "digest": self.digest}
        return self.stack.post(path, token=self.token, json=body)

    def decide_until_answered(self, step: str) -> httpx.Response:
        """Ask again, as a client does, until a web that lives answers."""

        def ask() -> httpx.Response | None:
            try:
                answer = self.decide(step)
            except httpx.TransportError:
                return None
            return answer if answer.status_code < 500 else None

        answered: httpx.Response = wait_for(ask, "no answer")
        return answered

    def count(self, table: str) -> int:
        [(found,)] = self.stack.sql(f"SELECT count(*) FROM {table}")  # type: ignore[arg-type]
        return int(found)

    def kill_web(self) -> None:
        for pid in self.stack.children("web"):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
        receiver.gate.set()
        receiver.shutdown()


@pytest.fixture
def scene(tmp_path: Path, receiver: Receiver) -> Iterator[Scene]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "MLmodel").write_text(MLMODEL)
    with Stack(tmp_path / "home") as stack:
        stack.manage("bootstrap", "--namespace", "prod.fraud")
        url = f"http://127.0.0.1:{receiver.server_address[1]}/"
        more = {
            "SOURCE": str(source),
            "RECEIVER": url,
            "DJANGO_SETTINGS_MODULE": "greenlight.settings",
        }
        said = subprocess.run(
            [sys.executable, "-c", SETUP],
            cwd=ROOT,
            env={**stack.env, **more},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        yield Scene(stack, receiver, json.loads(said.splitlines()[-1]))


@contextmanager
def no_commit(stack: Stack, request_id: str) -> Iterator[None]:
    """Hold a lock without which no decision on the request can be written."""
    url = stack.env.get("GREENLIGHT_DATABASE_URL", "")
    if url.startswith("postgres"):
        with psycopg.connect(url) as server:
            server.execute(
                "SELECT 1 FROM approvals_approvalrequest WHERE id = %s FOR UPDATE",
                [request_id],
            )
            yield
            server.rollback()
        return
    path = stack.home / "greenlight.sqlite3"
    with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def killed_before_the_commit(scene: Scene) -> None:
    """The web dies while its transaction waits: there was no decision."""
    with (
        ThreadPoolExecutor() as pool,
        no_commit(scene.stack, scene.asked["commit"]),
    ):
        assert any(_dies_in_mid_decision(scene, pool) for _ in range(10))
    assert scene.count("approvals_decision") == 0
    assert scene.count("registry_alias") == 0

    assert scene.decide_until_answered("commit").status_code == 201
    assert scene.count("registry_alias") == 1


def _dies_in_mid_decision(scene: Scene, pool: ThreadPoolExecutor) -> bool:
    """Kill the web a second after a decision was posted; tell whether it had it.

    The gateway says so: a connection that broke off is not one that was refused.
    """
    answer = pool.submit(scene.decide, "commit")
    wait([answer], timeout=1)
    if answer.done():  # refused: the web is not back from the last time
        return False
    scene.kill_web()
    refused = answer.result()
    assert refused.status_code == 503
    return "termination" in refused.text


def killed_before_the_relay(scene: Scene) -> None:
    """Committed and answered, and nobody has been told: both are killed."""
    scene.stack.kill("worker", signal.SIGSTOP)
    assert scene.decide("relay").status_code == 201
    scene.kill_web()
    scene.stack.kill("worker")
    wait_for(lambda: scene.stack.pid("worker"), "the worker is not back")


def killed_in_mid_delivery(scene: Scene) -> str:
    """The receiver has the message and has not answered: the worker is killed."""
    everything_arrived(scene)
    scene.receiver.gate.clear()
    before = len(scene.receiver.ids)
    assert scene.decide_until_answered("delivery").status_code == 201
    wait_for(lambda: len(scene.receiver.ids) > before, "nothing was delivered")
    scene.stack.kill("worker")
    in_flight = scene.receiver.ids[before]
    scene.receiver.gate.set()
    scene.stack.sql(
        "UPDATE webhooks_delivery SET lease_until = '2000-01-01 00:00:00+00'"
        " WHERE lease_until IS NOT NULL"
    )
    return in_flight


def everything_arrived(scene: Scene) -> None:
    open_ones = (
        "SELECT id FROM webhooks_delivery WHERE status <> 'delivered' UNION ALL"
        " SELECT event_id FROM events_outboxentry WHERE handled_at IS NULL"
    )
    wait_for(lambda: not scene.stack.sql(open_ones), "something is not delivered")


def test_nothing_is_lost_or_done_twice_between_decision_and_delivery(
    scene: Scene,
) -> None:
    killed_before_the_commit(scene)
    killed_before_the_relay(scene)
    in_flight = killed_in_mid_delivery(scene)
    everything_arrived(scene)

    assert scene.receiver.ids.count(in_flight) == 2  # twice, under the same id
    for step in scene.asked:  # whoever lost the answer asks again
        assert scene.decide_until_answered(step).status_code == 200
    sql = scene.stack.sql
    assert scene.count("approvals_decision") == 3
    assert sql("SELECT generation FROM registry_alias") == [(1,)] * 3
    assert sql("SELECT DISTINCT status FROM approvals_approvalrequest") == [
        ("applied",)
    ]
    owed = sql(
        "SELECT id FROM events_event WHERE type LIKE 'approval.%' OR type = 'alias.set'"
    )
    assert {one.replace("-", "") for one in scene.receiver.ids} == {
        str(found).replace("-", "") for (found,) in owed
    }
    said = "SELECT type, count(*) FROM events_event WHERE type IN"
    assert sql(
        f"{said} ('alias.set', 'approval.applied', 'approval.decided')"
        " GROUP BY type ORDER BY type"
    ) == [("alias.set", 3), ("approval.applied", 3), ("approval.decided", 3)]
    assert "an unbroken chain" in scene.stack.manage("verify_audit")
