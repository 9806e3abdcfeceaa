"""Real model servers: MLflow's scoring server, started and stopped by the agent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from access import services as access
from access.models import User
from events.models import Event
from events.types import EventType
from registry import artifacts
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel
from serving import services as serving
from serving.models import (
    Endpoint,
    GatewayStatus,
    ModelServer,
    Rollout,
    RolloutStatus,
    ServerStatus,
)
from serving.servers import local
from tests.serving.conftest import Move, fresh, weights
from tests.serving.stack import PATIENCE_SECONDS, Stack, running_stack

pytestmark = pytest.mark.e2e

URL = "/serving/prod.fraud.live/invocations"
ROWS = b'{"dataframe_split": {"columns": ["x"], "data": [[1.0], [2.5]]}}'
CODE = """
class Model:
    def predict(self, data, params=None):
        return [value * {factor} for value in data["x"]]

def _load_pyfunc(path):
    {on_load}
    return Model()
"""
MLMODEL = """
flavors:
  python_function:
    loader_module: tiny_model
    code: code
    env: {}
signature:
  inputs: '[{"type": "double", "name": "x", "required": true}]'
  outputs: '[{"type": "double", "required": true}]'
"""

Register = Callable[..., ModelVersion]


@pytest.fixture
def register(tmp_path: Path, model: RegisteredModel, owner: User) -> Register:
    """Register a real MLflow model that multiplies by a factor."""

    def make(factor: int, on_load: str = "pass") -> ModelVersion:
        directory = tmp_path / f"source-{factor}"
        (directory / "code").mkdir(parents=True)
        (directory / "MLmodel").write_text(MLMODEL)
        code = CODE.format(factor=factor, on_load=on_load)
        (directory / "code" / "tiny_model.py").write_text(code)
        return registry.create_version_from_directory(model, directory, principal=owner)

    return make


@pytest.fixture
def stack(db: None) -> Iterator[Stack]:
    with running_stack() as stack:
        yield stack


def _is(rollout: Rollout, status: str) -> Callable[[], bool]:
    return lambda: fresh(rollout).status == status


def test_version_is_loaded_served_drained_and_stopped(
    stack: Stack, endpoint: Endpoint, move: Move, register: Register, owner: User
) -> None:
    first = move(register(2))
    stack.tick_until(_is(first, RolloutStatus.SUCCEEDED))
    stack.tick_until(lambda: stack.call(URL, owner, body=ROWS).status == 200)
    assert stack.call(URL, owner, body=ROWS).json == {"predictions": [2.0, 5.0]}

    second = move(register(3))
    stack.tick_until(_is(second, RolloutStatus.STEP))
    serving.abort(fresh(second), principal=owner)
    server = ModelServer.objects.get(version=second.version)
    process = local.Process(server.pid or 0, server.process_started or 0)
    assert process.is_running
    stack.tick_until(
        lambda: ModelServer.objects.get(pk=server.pk).status == ServerStatus.STOPPED
    )

    assert not process.is_running
    assert stack.call(URL, owner, body=ROWS).json == {"predictions": [2.0, 5.0]}


def test_changed_bytes_are_not_loaded_and_traffic_stays(
    stack: Stack, endpoint: Endpoint, move: Move, register: Register, owner: User
) -> None:
    stack.tick_until(_is(move(register(2)), RolloutStatus.SUCCEEDED))
    version = register(3)
    code = artifacts.local_directory(version) / "code" / "tiny_model.py"
    code.parent.chmod(0o755)
    code.chmod(0o644)
    code.write_text(code.read_text().replace("* 3", "* 666"))

    rollout = move(version)
    stack.tick_until(_is(rollout, RolloutStatus.ROLLED_BACK))

    assert "refused to load" in fresh(rollout).reason
    assert ModelServer.objects.get(version=version).pid is None
    assert Event.objects.filter(type=EventType.MODEL_VERSION_TAMPERED).count() == 1
    assert weights(endpoint) == {1: 10_000}
    assert stack.call(URL, owner, body=ROWS).json == {"predictions": [2.0, 5.0]}


def test_model_that_does_not_load_is_rolled_back_with_its_last_words(
    stack: Stack, endpoint: Endpoint, move: Move, register: Register
) -> None:
    rollout = move(register(2, on_load="raise RuntimeError('no weights')"))

    stack.tick_until(_is(rollout, RolloutStatus.ROLLED_BACK))

    assert "no weights" in fresh(rollout).reason
    assert ModelServer.objects.get().restarts == 3


def test_nothing_new_is_loaded_without_execute_of_run_as(
    stack: Stack, endpoint: Endpoint, move: Move, register: Register, admin: User
) -> None:
    service = access.create_service_principal("robot", admin, principal=admin)
    Endpoint.objects.filter(pk=endpoint.pk).update(run_as=service)

    rollout = move(register(2))
    stack.tick_until(_is(rollout, RolloutStatus.ROLLED_BACK))

    assert "robot may not load" in fresh(rollout).reason
    assert ModelServer.objects.get().pid is None


def test_killed_server_comes_back(
    stack: Stack, endpoint: Endpoint, move: Move, register: Register, owner: User
) -> None:
    stack.tick_until(_is(move(register(2)), RolloutStatus.SUCCEEDED))
    before = ModelServer.objects.get()
    os.killpg(before.pid or 0, signal.SIGKILL)

    stack.tick_until(lambda: ModelServer.objects.get().restarts == 1)
    stack.tick_until(lambda: stack.call(URL, owner, body=ROWS).status == 200)

    assert ModelServer.objects.get().pid != before.pid


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
def test_servers_outlive_a_killed_agent_and_end_with_a_stopped_one(
    endpoint: Endpoint, move: Move, register: Register, use: Callable[..., None]
) -> None:
    rollout = move(register(2))
    with running_stack():
        agent = _start_agent()
        _wait_for(_is(rollout, RolloutStatus.SUCCEEDED))
        server = ModelServer.objects.get()
        process = local.Process(server.pid or 0, server.process_started or 0)
        agent.kill()
        agent.wait()
        assert process.is_running

        killed_at = timezone.now()
        agent = _start_agent()
        _wait_for(lambda: GatewayStatus.objects.get().reported_at > killed_at)
        assert ModelServer.objects.get().pid == server.pid
        agent.terminate()
        assert agent.wait(timeout=10) == 0

        assert not process.is_running
        assert not local.running()


def _start_agent() -> subprocess.Popen[bytes]:
    """Run the real command on the database of the tests."""
    environment = {
        **os.environ,
        "GREENLIGHT_HOME": str(settings.HOME),
        "GREENLIGHT_ARTIFACTS": settings.ARTIFACTS,
        "GREENLIGHT_DATABASE_URL": _database_url(),
    }
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "agent"]
    return subprocess.Popen(command, cwd=settings.HOME, env=environment)


def _database_url() -> str:
    settings_of = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings_of['NAME']}"
    who = f"{settings_of['USER']}:{settings_of['PASSWORD']}"
    where = f"{settings_of['HOST']}:{settings_of['PORT']}"
    return f"postgresql://{who}@{where}/{settings_of['NAME']}"


def _wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)
