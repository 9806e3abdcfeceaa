"""The stock client, of 3.17 and of an older release, through a whole script."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uv
from pytest_django.live_server_helper import LiveServer

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry.models import ModelVersion, RegisteredModel
from runners.environments import index_options

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
CLIENTS = Path(__file__).parent / "clients"
KEPT = Path(__file__).parents[2] / ".tmp" / "clients"


@pytest.fixture(scope="session")
def old_client() -> Path:
    """The interpreter of an environment with MLflow 2.22; made once per list.

    It needs the indexes that pip is configured to use, and fails without them.
    """
    pins = CLIENTS / "mlflow-2.22.txt"
    place = KEPT / hashlib.sha256(pins.read_bytes()).hexdigest()[:16]
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        made = [uv.find_uv_bin(), "venv", "--python", sys.executable, str(place)]
        filled = [uv.find_uv_bin(), "pip", "install", "--python", str(python)]
        for command in (made, [*filled, *index_options(), "-r", str(pins)]):
            subprocess.run(command, check=True, timeout=150, capture_output=True)
        (place / "complete").touch()
    return python


@pytest.fixture(params=["3.17.2", "2.22.4"])
def client(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """A release of MLflow, and an interpreter that has it."""
    if request.param == "3.17.2":
        return request.param, Path(sys.executable)
    return request.param, request.getfixturevalue("old_client")


@pytest.fixture
def token(owner: User, use: Callable[..., None]) -> str:
    use(owner, Privilege.CREATE_MODEL)
    return access.issue_token(owner, "laptop", principal=owner)


def run(python: Path, server: LiveServer, token: str) -> dict[str, Any]:
    """Run the script as a data scientist would: two variables, nothing else."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "MLFLOW_TRACKING_URI": server.url,
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    done = subprocess.run(
        [str(python), "-W", "ignore", str(CLIENTS / "registry_script.py")],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_whole_registry_script(
    client: tuple[str, Path], live_server: LiveServer, token: str
) -> None:
    release, python = client
    seen = run(python, live_server, token)
    only_new = {"search_prompts": ["prod.fraud.greeting"]}
    assert seen == {
        **SEEN,
        "mlflow": release,
        **(only_new if release.startswith("3") else {}),
    }
    scorer = RegisteredModel.objects.get(full_name="prod.fraud.scorer")
    left = dict(scorer.versions.values_list("number", "status"))
    assert left == {1: "deleted", 2: "ready", 3: "ready"}
    copied = ModelVersion.objects.get(lineage__copied_from="prod.fraud.scorer/1")
    assert copied.digest == scorer.versions.get(number=1).digest


MISSING, INVALID = "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"
SEEN = {
    "numbers": [2, 3],
    "refused_name": INVALID,
    "exists": "RESOURCE_ALREADY_EXISTS",
    "model": ["a scorer", {"team": "fraud"}, {"Challenger": "1"}],
    "version": ["the first", {"note": "ok"}, ["Challenger"]],
    "user": "owner",
    "status": "READY",
    "latest": ["3"],
    "stages": [INVALID, INVALID],
    "found": ["prod.fraud.scorer"],
    "versions": [1, 2, 3],
    "loaded": [True, True, True],
    "copied": [1, True, {}, True],
    "renamed": "READY",
    "old_name": MISSING,
    "deleted": MISSING,
    "in_use": "RESOURCE_CONFLICT",
    "prompt": ["Good day, Ada", 2],
    "first_prompt": "Hello {{name}}",
    "prompts": [True, False],
    "model_as_prompt": INVALID,
    "gone": MISSING,
}
