"""The life of a run: registered once, cancelled, lost, refused."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import jsonschema
import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from core.errors import Conflict, InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from registry.models import ModelVersion, RegisteredModel
from runners import finalize, lifecycle
from runners import services as runners
from runners.attempts import directory_of
from runners.models import (
    Attempt,
    AttemptStatus,
    FailureClass,
    Pipeline,
    Run,
    RunStatus,
)
from tests.runners.conftest import log_of, start, step, until
from tests.runners.packages import package as zipped_package
from tests.runners.packages import with_train

pytestmark = pytest.mark.django_db
SCHEMA = json.loads(Path("runners/results.schema.json").read_text())
Finish = Callable[[Run], Run]
Upload = Callable[[BytesIO], None]


def test_run_registers_one_version_with_its_lineage(
    pipeline: Pipeline, runner: User, finish: Finish
) -> None:
    run = finish(runners.start_run(pipeline, principal=runner))

    version = ModelVersion.objects.get(model__full_name="prod.fraud.scorer")
    assert run.status == RunStatus.SUCCEEDED, run.failure_summary
    assert version.status == "ready"
    assert version.created_by == pipeline.owner
    assert version.on_behalf_of == runner
    assert version.lineage["run_id"] == str(run.id)
    assert version.lineage["package_version"] == "1.0"
    assert version.lineage["snapshot"] == run.snapshot.digest
    assert [entry["path"] for entry in version.manifest] == ["MLmodel", "weights.txt"]


def test_up_22_to_30_results_of_success_fit_the_schema(
    pipeline: Pipeline, finish: Finish
) -> None:
    run = finish(start(pipeline, parameters={"depth": "3"}))

    jsonschema.validate(run.results, SCHEMA)
    given, summary = run.results["parameters"], run.results["run_summary"]
    assert given["pipeline"] == "prod.fraud.training"
    assert given["inputs"]["version"] == "1.0"
    assert given["inputs"]["gpu"] == "False"
    assert given["env"] == {
        "artifacts_directory": "artifacts",
        "save_training_data": "false",
        "depth": "3",
    }
    assert summary["end_at"] - summary["start_at"] == summary["execution_time"]
    assert summary["outputs"]["version"] == "1.1"
    assert summary["outputs"]["train_data"] is None


def test_events_tell_the_story_of_a_run(pipeline: Pipeline, finish: Finish) -> None:
    run = finish(start(pipeline))

    events = Event.objects.filter(subject_id=run.id).order_by("sequence")
    assert [event.type for event in events] == [
        "pipeline_run.queued",
        "pipeline_run.started",
        "pipeline_run.succeeded",
    ]
    assert events.last().data == {
        "run_id": str(run.id),
        "model": "prod.fraud.scorer",
        "version": 1,
        "request_alias": "Champion",
        "requested_by": str(pipeline.owner.id),
        "started_by": str(pipeline.owner.id),
    }


def test_train_that_raises_fails_the_run_and_registers_nothing(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    upload(zipped_package(with_train("raise ValueError('bad rows')")))

    run = finish(start(pipeline))

    assert run.status == RunStatus.FAILED
    assert run.failure_class == FailureClass.USER_CODE
    assert run.failure_summary.startswith("Traceback (most recent call last):")
    assert run.failure_summary.endswith("ValueError: bad rows")
    assert not ModelVersion.objects.exists()
    assert not hasattr(run, "trained_version")
    jsonschema.validate(run.results, SCHEMA)
    assert run.results["run_summary"]["outputs"]["version"] is None


def test_up_20_save_is_not_called_when_train_raises(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    upload(zipped_package(with_train("raise ValueError", save="print('saved')")))

    run = finish(start(pipeline))

    assert "saved" not in log_of(run)


def test_training_that_takes_too_long_is_ended(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    upload(zipped_package(with_train("import time; time.sleep(60)")))

    run = finish(start(pipeline, timeout_seconds=1))

    assert (run.status, run.failure_class) == (RunStatus.FAILED, FailureClass.TIMEOUT)


def test_queued_run_is_cancelled_at_once(pipeline: Pipeline) -> None:
    run = runners.cancel_run(start(pipeline), principal=pipeline.owner)

    assert run.status == RunStatus.CANCELLED
    jsonschema.validate(run.results, SCHEMA)
    assert runners.cancel_run(run, principal=pipeline.owner) == run


def test_running_training_is_cancelled(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    upload(zipped_package(with_train("import time; time.sleep(60)")))
    run = until(start(pipeline), lambda run: run.status == RunStatus.RUNNING)

    runners.cancel_run(run, principal=pipeline.owner)

    assert finish(run).status == RunStatus.CANCELLED
    assert not ModelVersion.objects.exists()


def test_ended_run_cannot_be_cancelled(pipeline: Pipeline, finish: Finish) -> None:
    run = finish(start(pipeline))

    with pytest.raises(Conflict, match="too late"):
        runners.cancel_run(run, principal=pipeline.owner)


def test_killed_shim_is_a_lost_attempt_and_the_next_one_registers_once(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    upload(zipped_package(with_train("import time; time.sleep(1)")))
    run = until(start(pipeline), lambda run: run.status == RunStatus.RUNNING)
    first = Attempt.objects.get(run=run)
    shim = None
    while shim is None:
        shim = directory_of(first).read("shim.json")
    os.kill(shim["pid"], signal.SIGKILL)

    run = finish(run)

    assert run.status == RunStatus.SUCCEEDED, run.failure_summary
    statuses = list(run.attempts.values_list("status", flat=True))
    assert statuses == [AttemptStatus.LOST, AttemptStatus.EXITED]
    assert ModelVersion.objects.count() == 1
    assert not is_alive(shim["child_pid"])


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that init has not reaped yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_run_fails_when_attempts_were_lost_too_often(
    pipeline: Pipeline, upload: Upload, finish: Finish
) -> None:
    body = "import signal, time\nos.kill(os.getppid(), signal.SIGKILL); time.sleep(60)"
    upload(zipped_package(with_train(body)))

    run = finish(start(pipeline))

    assert run.failure_class == FailureClass.INFRA_LOST
    assert run.attempts.count() == 6
    jsonschema.validate(run.results, SCHEMA)


def test_finalizer_goes_on_with_the_version_that_a_dead_one_began(
    pipeline: Pipeline, finish: Finish
) -> None:
    run = until(start(pipeline), lambda run: run.status == RunStatus.FINALIZING)
    run = lifecycle.rows().get(pk=run.pk)
    directory = directory_of(Attempt.objects.get(run=run))
    finalize._register(run, finalize.find_model(run, directory))  # and then it died

    run = finish(run)

    assert run.status == RunStatus.SUCCEEDED
    assert ModelVersion.objects.count() == 1
    assert run.registrations.get().version == ModelVersion.objects.get()


def test_target_model_is_created_by_the_first_run(
    package: object, snapshot: object, trainer: User, finish: Finish
) -> None:
    pipeline = runners.create_pipeline(
        "prod.fraud.fresh",
        package,
        "prod.fraud.newcomer",
        dataset="prod.fraud.cells",
        principal=trainer,
    )

    run = finish(start(pipeline))

    assert run.status == RunStatus.SUCCEEDED, run.failure_summary
    assert RegisteredModel.objects.get(full_name="prod.fraud.newcomer").owner == trainer


def test_run_waits_while_all_slots_are_taken(
    pipeline: Pipeline, upload: Upload, settings: object
) -> None:
    settings.RUN_SLOTS = 1
    upload(zipped_package(with_train("import time; time.sleep(60)")))
    first = until(start(pipeline), lambda run: run.status == RunStatus.RUNNING)

    second = step(start(pipeline).pk)

    assert second.status == RunStatus.QUEUED
    assert second.wait_reason.startswith("NO_CAPACITY")
    runners.cancel_run(first, principal=pipeline.owner)
    until(first, lambda run: run.has_ended)
    until(second, lambda run: run.status == RunStatus.RUNNING)
    runners.cancel_run(second, principal=pipeline.owner)
    until(second, lambda run: run.has_ended)


def test_up_37_run_that_wants_a_gpu_waits_for_one(pipeline: Pipeline) -> None:
    run = step(start(pipeline, gpu=True).pk)

    assert (run.status, run.wait_reason) == (
        RunStatus.QUEUED,
        "NO_CAPACITY: no GPU on this host",
    )


def test_stranger_learns_nothing_and_schema_user_is_refused(
    pipeline: Pipeline, stranger: User, approver: User, use: Callable[..., None]
) -> None:
    use(approver)

    with pytest.raises(NotFound):
        runners.start_run(pipeline, principal=stranger)
    with pytest.raises(PermissionDenied) as refused:
        runners.start_run(pipeline, principal=approver)

    assert refused.value.details["reasons"][0]["missing"] == "RUN TRAINING"


def test_runner_reads_and_cancels_what_it_may_run_and_stranger_does_not(
    pipeline: Pipeline, runner: User, stranger: User
) -> None:
    run = start(pipeline)

    assert runners.get_run(run.pk, principal=runner) == run
    runners.read_log(run, principal=runner)
    with pytest.raises(NotFound):
        runners.get_run(run.pk, principal=stranger)
    with pytest.raises(NotFound):
        runners.read_log(run, principal=stranger)
    with pytest.raises(NotFound):
        runners.cancel_run(run, principal=stranger)
    runners.cancel_run(run, principal=runner)


def test_runner_cannot_train_on_data_that_it_may_not_read(
    pipeline: Pipeline, runner: User
) -> None:
    with pytest.raises(PermissionDenied, match="READ DATASET"):
        runners.start_run(pipeline, dataset="prod.fraud.cells", principal=runner)


def test_preflight_names_what_the_run_as_principal_lost(
    pipeline: Pipeline, runner: User, admin: User
) -> None:
    catalog = pipeline.schema.catalog
    access.revoke(catalog, Privilege.USE_CATALOG, pipeline.owner, principal=admin)

    with pytest.raises(PermissionDenied, match="act as owner, who lacks USE CATALOG"):
        runners.start_run(pipeline, principal=runner)

    assert not Run.objects.exists()


def test_same_idempotency_key_gives_the_same_run(
    pipeline: Pipeline, runner: User
) -> None:
    first = start(pipeline, idempotency_key="k")

    assert start(pipeline, idempotency_key="k") == first
    other = runners.start_run(pipeline, idempotency_key="k", principal=runner)
    assert other != first


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"artifacts_directory": "../x"}, "not safe"),
        ({"artifacts_directory": "/etc/x"}, "not safe"),
        ({"artifacts_directory": "data/x"}, "read-only dataset"),
        ({"PYTHONPATH": "x"}, "reserved"),
        ({"GREENLIGHT_RUN": "x"}, "reserved"),
        ({"PATH": "x"}, "reserved"),
        ({"a-b": "x"}, "environment variable"),
        ({"save_data": "true", "save_training_data": "false"}, "differ"),
        ({"save_training_data": "maybe"}, "'true' or 'false'"),
    ],
)
def test_bad_parameters_are_refused(
    pipeline: Pipeline, parameters: dict[str, str], complaint: str
) -> None:
    with pytest.raises(InvalidParameter, match=complaint):
        start(pipeline, parameters=parameters)


def test_up_34_save_data_means_save_training_data(
    pipeline: Pipeline, finish: Finish
) -> None:
    run = finish(start(pipeline, parameters={"save_data": "True"}))

    assert run.parameters["save_training_data"] == "true"
    outputs = run.results["run_summary"]["outputs"]
    assert outputs["train_data"] == run.results["parameters"]["inputs"]["train_data"]
