"""The web is killed in mid-registration; the version comes in whole, and only once."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import MLMODEL
from tests.e2e.stack import Stack, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

WEIGHTS_BYTES = 400 * 2**20  # about a second of copying and hashing
NAME = "prod.fraud.scorer"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    # the web takes the bytes itself, however many there are
    inline = {"GREENLIGHT_INLINE_BYTES": str(2 * WEIGHTS_BYTES)}
    with Stack(tmp_path / "home", env=inline) as stack:
        stack.manage("bootstrap", "--namespace", "prod.fraud")
        yield stack


def test_a_registration_that_was_cut_off_is_finished_once(stack: Stack) -> None:
    run_id = log_large_model(stack)
    mlflow(stack, "POST", "registered-models/create", json={"name": NAME})
    body = {"name": NAME, "source": f"runs:/{run_id}/model", "run_id": run_id}
    web = stack.children("web")

    with ThreadPoolExecutor() as pool:
        answer = pool.submit(
            stack.post, "/api/2.0/mlflow/model-versions/create", json=body
        )
        wait_until_copying(stack)
        for pid in web:
            os.kill(pid, signal.SIGKILL)

    assert answer.result().status_code == 503
    assert get_version(stack)["status"] == "PENDING_REGISTRATION"
    stack.sql("UPDATE registry_modelversion SET lease_until = '2000-01-01 00:00:00+00'")
    wait_for(lambda: get_version(stack)["status"] == "READY", "never ready", 60)
    [(number, digest)] = stack.sql("SELECT number, digest FROM registry_modelversion")
    assert (number, digest) == (1, expected_digest())
    assert stack.sql(
        "SELECT type, count(*) FROM events_event WHERE type LIKE 'model_version.%'"
        " GROUP BY type ORDER BY type",
    ) == [("model_version.created", 1), ("model_version.ready", 1)]
    assert "an unbroken chain" in stack.manage("verify_audit")


def mlflow(stack: Stack, method: str, path: str, **options: Any) -> Any:
    answer = stack.request(method, f"/api/2.0/mlflow/{path}", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def get_version(stack: Stack) -> dict[str, Any]:
    """Return version 1; the web may still be on its way back."""

    def ask_once() -> httpx.Response | None:
        path = "/api/2.0/mlflow/model-versions/get"
        answer = stack.get(path, params={"name": NAME, "version": "1"})
        return answer if answer.status_code == 200 else None

    version: dict[str, Any] = wait_for(ask_once, "no answer").json()["model_version"]
    return version


def log_large_model(stack: Stack) -> str:
    """Log a run with a large model, past the upload, and return its id."""
    experiment = mlflow(stack, "POST", "experiments/create", json={"name": "large"})
    body = {"experiment_id": experiment["experiment_id"], "start_time": 1}
    info = mlflow(stack, "POST", "runs/create", json=body)["run"]["info"]
    root = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    model = stack.home / "tracking" / root / "model"
    model.mkdir(parents=True)
    (model / "MLmodel").write_text(MLMODEL)
    with (model / "weights.bin").open("wb") as weights:
        weights.truncate(WEIGHTS_BYTES)
    run_id: str = info["run_id"]
    return run_id


def wait_until_copying(stack: Stack) -> None:
    artifacts = stack.home / "artifacts"
    deadline = time.monotonic() + 30
    while not any(artifacts.glob("*/*/*/.*.partial")):
        assert time.monotonic() < deadline, "the copy never began"
        time.sleep(0.002)


def expected_digest() -> str:
    """The sha-256 over the files' digests, in the order of their paths."""
    weights = hashlib.sha256()
    for _ in range(WEIGHTS_BYTES // 2**20):
        weights.update(bytes(2**20))
    digests = [hashlib.sha256(MLMODEL.encode()).digest(), weights.digest()]
    return hashlib.sha256(b"".join(digests)).hexdigest()
