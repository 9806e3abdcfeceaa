"""A trainable world: dataset, package, pipeline, and a hand to move runs."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry.models import RegisteredModel, Schema
from runners import services as runners
from runners.attempts import remove_tree
from runners.finalize import finalize_run
from runners.keeper import move_runs
from runners.launch import launch_run
from runners.models import Dataset, Package, Pipeline, Run, RunStatus, Snapshot
from tests.runners.packages import package as zipped_package

DATA = {"a.csv": b"1,2\n", "sub/b.csv": b"3,4\n", "sub/deep/c.csv": b"5,6\n"}


def in_memory(files: dict[str, bytes]) -> Iterator[tuple[str, io.BytesIO]]:
    return ((path, io.BytesIO(content)) for path, content in files.items())


@pytest.fixture(autouse=True)
def _writable_again(settings: Any) -> Iterator[None]:
    """Let pytest delete what a run made read-only."""
    yield
    remove_tree(settings.RUNS_DIR)


@pytest.fixture
def trainer(owner: User, schema: Schema, use: Callable[..., None]) -> User:
    """The owner, able to create datasets, pipelines and models in prod.fraud."""
    use(
        owner,
        Privilege.CREATE_DATASET,
        Privilege.CREATE_PIPELINE,
        Privilege.CREATE_MODEL,
    )
    return owner


@pytest.fixture
def dataset(trainer: User) -> Dataset:
    return runners.create_dataset("prod.fraud.cells", principal=trainer)


@pytest.fixture
def snapshot(dataset: Dataset, trainer: User) -> Snapshot:
    return runners.create_snapshot(dataset, in_memory(DATA), principal=trainer)


@pytest.fixture
def package(trainer: User) -> Package:
    package = runners.create_package("prod.fraud.tree", principal=trainer)
    runners.upload_package(package, zipped_package(), principal=trainer)
    return package


@pytest.fixture
def pipeline(
    package: Package, snapshot: Snapshot, model: RegisteredModel, trainer: User
) -> Pipeline:
    """prod.fraud.training, registering versions of prod.fraud.scorer."""
    return runners.create_pipeline(
        "prod.fraud.training",
        package,
        model.full_name,
        dataset="prod.fraud.cells",
        request_alias="Champion",
        principal=trainer,
    )


@pytest.fixture
def runner(grantee: User, pipeline: Pipeline, use: Callable[..., None]) -> User:
    """The grantee, who may run the pipeline and nothing else."""
    use(grantee)
    access.grant(pipeline, Privilege.RUN_TRAINING, grantee, principal=pipeline.owner)
    return grantee


@pytest.fixture
def upload(package: Package, trainer: User) -> Callable[[io.BytesIO], None]:
    def do(content: io.BytesIO) -> None:
        runners.upload_package(package, content, principal=trainer)

    return do


def step(run_id: UUID) -> Run:
    """Do once what a worker does all the time."""
    run = Run.objects.get(pk=run_id)
    if run.status == RunStatus.QUEUED:
        launch_run(run_id)
    elif run.status == RunStatus.FINALIZING:
        finalize_run(run_id)
    move_runs()
    return Run.objects.get(pk=run_id)


def until(run: Run, condition: Callable[[Run], bool], seconds: float = 60) -> Run:
    """Move a run until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition(run := step(run.pk)):
        assert time.monotonic() < deadline, f"still {run.status}"
        time.sleep(0.02)
    return run


@pytest.fixture
def finish() -> Callable[[Run], Run]:
    """Move a run to its end."""

    def do(run: Run) -> Run:
        until(run, lambda fresh: fresh.has_ended)
        return Run.objects.select_related("pipeline", "package_version").get(pk=run.pk)

    return do


def start(pipeline: Pipeline, **options: object) -> Run:
    return runners.start_run(pipeline, principal=pipeline.owner, **options)


def log_of(run: Run) -> str:
    return runners.read_log(run, principal=run.run_as).text
