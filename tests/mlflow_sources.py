"""Registries of plain MLflow, made with its stock client, to be taken over."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from mlflow import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.conftest import MLMODEL


def write_model(directory: Path, content: str) -> Path:
    """Write a tiny model directory."""
    directory.mkdir(parents=True)
    (directory / "MLmodel").write_text(MLMODEL)
    (directory / "weights.json").write_text(content)
    return directory


@contextmanager
def careless_disk() -> Iterator[None]:
    """Let SQLAlchemy's SQLite databases not wait for the disk."""

    def relax(connection: Any, _record: Any) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)


def fill(client: MlflowClient, root: Path, *, artifact_location: str | None) -> None:
    """Register `churn` (versions 1 and 3 of 4, a gap and a deleted last one),
    `Fraud model`, whose second version has no files any more, and a prompt.
    """
    experiment = client.create_experiment("training", artifact_location)
    run = client.create_run(experiment).info
    for number in (1, 2, 3, 4):
        directory = write_model(root / f"model{number}", str(number))
        (directory / "old.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
        client.log_artifacts(run.run_id, str(directory), f"model{number}")
    client.create_registered_model("churn", {"team": "sales"}, "Who leaves")
    for number in (1, 2, 3, 4):
        client.create_model_version(
            "churn",
            f"{run.artifact_uri}/model{number}",
            run.run_id,
            tags={"n": str(number)},
            description=f"attempt {number}",
        )
    client.delete_model_version("churn", "2")
    client.delete_model_version("churn", "4")
    client.set_registered_model_alias("churn", "Champion", "3")
    client.set_registered_model_alias("churn", "first", "1")
    with warnings.catch_warnings(action="ignore"):
        client.transition_model_version_stage("churn", "1", "Production")
        client.register_prompt("greeting", "Hello {{ name }}")
    client.create_registered_model("Fraud model")
    for path in ("model1", "lost"):
        client.create_model_version(
            "Fraud model", f"{run.artifact_uri}/{path}", run.run_id
        )


@contextmanager
def server(root: Path, port: int) -> Iterator[str]:
    """Run `mlflow server` on a database and an artifact directory below `root`."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{root}/mlflow.db", "--workers", "1"]
    command += ["--artifacts-destination", str(root / "mlartifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (root / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=log, stderr=log
        )
        try:
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{url}/health", timeout=1).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the MLflow server did not start")
