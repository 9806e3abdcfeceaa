"""A registry of MLflow to take over, and the command that does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from mlflow import MlflowClient

from access.models import User
from tests.mlflow_sources import careless_disk, fill

MAP = """\
- from: Fraud model
  to: prod.fraud.scorer
  owner: owner
"""


Adopt = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an MLflow database and its files, made by the stock client."""
    root = tmp_path_factory.mktemp("mlflow")
    url = f"sqlite:///{root}/mlflow.db"
    with careless_disk():
        fill(MlflowClient(url, url), root, artifact_location=f"file://{root}/mlruns")
    return root


@pytest.fixture
def url(source: Path) -> str:
    return f"sqlite:///{source}/mlflow.db"


@pytest.fixture
def mapping(tmp_path: Path) -> str:
    path = tmp_path / "map.yaml"
    path.write_text(MAP)
    return str(path)


@pytest.fixture
def adopt(admin: User, owner: User) -> Adopt:
    """Run the command with --json; return what it prints, with its exit code."""

    def run(origin: str, *arguments: str) -> dict[str, Any]:
        out, code = StringIO(), 0
        try:
            call_command(
                "adopt",
                origin,
                "--into",
                "prod.sales",
                "--json",
                *arguments,
                stdout=out,
            )
        except SystemExit as end:
            code = int(end.code or 0)
        return {"exit_code": code, **json.loads(out.getvalue())}

    return run


def lines(report: dict[str, Any], result: str) -> list[str]:
    found = [one for one in report["lines"] if one["result"] == result]
    return sorted(one["name"] for one in found)
