"""A real worker is killed in mid-training; the run ends well, and only once."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.runners.packages import MLMODEL

pytestmark = pytest.mark.faults

WAITING_TRAIN = f"""
import os, pathlib, time

class Main:
    def train(self, data_directory):
        with open(os.environ["executions"], "a") as file:
            file.write("trained\\n")
        while not os.path.exists(os.environ["go"]):
            time.sleep(0.02)

    def save(self):
        pathlib.Path("model").mkdir()
        pathlib.Path("model/MLmodel").write_text('''{MLMODEL}''')
"""

START_RUN = """
import io, os, django
django.setup()
from access.models import User
from runners import services as runners
from tests.runners.packages import package as zipped_package

admin = User.objects.get(is_superuser=True)
dataset = runners.create_dataset("prod.fraud.cells", principal=admin)
runners.create_snapshot(dataset, [("a.csv", io.BytesIO(b"1"))], principal=admin)
package = runners.create_package("prod.fraud.tree", principal=admin)
runners.upload_package(
    package, zipped_package(os.environ["TRAIN"]), principal=admin
)
pipeline = runners.create_pipeline(
    "prod.fraud.training",
    package,
    "prod.fraud.scorer",
    dataset="prod.fraud.cells",
    principal=admin,
)
parameters = {"executions": os.environ["EXECUTIONS"], "go": os.environ["GO"]}
runners.start_run(pipeline, parameters=parameters, principal=admin)
"""


class Stack:
    """A home of its own, in which real processes work: SQLite and its own broker.

    The embedded broker loses what a killed worker had taken; no other is harder.
    """

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.executions = directory / "executions"
        self.go = directory / "go"
        elsewhere = {"GREENLIGHT_DATABASE_URL", "GREENLIGHT_BROKER_URL"}
        self.environ = {
            **{key: os.environ[key] for key in os.environ.keys() - elsewhere},
            "DJANGO_SETTINGS_MODULE": "greenlight.settings",
            "GREENLIGHT_HOME": str(self.home),
            "GREENLIGHT_ENVIRONMENTS": str(settings.ENVIRONMENTS_DIR),
            "EXECUTIONS": str(self.executions),
            "GO": str(self.go),
            "TRAIN": WAITING_TRAIN,
        }

    def run(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, *arguments],
            cwd=settings.BASE_DIR,
            env=self.environ,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker; whatever happens, it is gone in the end."""
        command = ["-m", "celery", "-A", "greenlight", "worker", "--loglevel=WARNING"]
        alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        process = subprocess.Popen(
            [sys.executable, *command, *alone],
            cwd=settings.BASE_DIR,
            env=self.environ,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def ask(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.home / "greenlight.sqlite3")) as database:
            return [row[0] for row in database.execute(query)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    stack.run("manage.py", "bootstrap", "--namespace", "prod.fraud")
    stack.run("-c", START_RUN)
    yield stack
    stack.go.touch()  # whatever still trains may end
    wait(lambda: not any(stack.home.glob("runs/*/*/spec.json")) or _ended(stack))


def _ended(stack: Stack) -> bool:
    shims = list(stack.home.glob("runs/*/*/spec.json"))
    return all((shim.parent / "exit.json").exists() for shim in shims)


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def assert_ended_well_and_once(stack: Stack) -> None:
    assert stack.executions.read_text() == "trained\n"
    assert stack.ask("SELECT status FROM runners_attempt") == ["exited"]
    assert stack.ask("SELECT status FROM registry_modelversion") == ["ready"]
    assert stack.ask("SELECT count(*) FROM runners_registration") == [1]
    numbers = "SELECT major || '.' || minor FROM runners_packageversion ORDER BY 1"
    assert stack.ask(numbers) == ["1.0", "1.1"]


def test_training_outlives_its_worker_and_the_next_one_registers_it(
    stack: Stack,
) -> None:
    with stack.worker() as first:
        wait(stack.executions.exists)
        first.kill()
        first.wait()
        stack.go.touch()
        wait(lambda: _ended(stack))  # trained to its end with no worker alive

    with stack.worker():
        wait(lambda: stack.ask("SELECT status FROM runners_run") == ["succeeded"])

    assert_ended_well_and_once(stack)


def test_another_worker_takes_over_a_training_that_goes_on(stack: Stack) -> None:
    with stack.worker() as first:
        wait(stack.executions.exists)
        first.kill()
        first.wait()

    with stack.worker():
        stack.go.touch()
        wait(lambda: stack.ask("SELECT status FROM runners_run") == ["succeeded"])

    assert_ended_well_and_once(stack)
