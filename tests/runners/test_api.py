from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import jsonschema
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from access.models import User
from runners.models import Pipeline, Run
from tests.runners.packages import package as zipped_package
from tests.runners.packages import with_train
from tests.runners.test_runs import SCHEMA

pytestmark = pytest.mark.django_db


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def file(content: bytes | BytesIO) -> SimpleUploadedFile:
    data = content if isinstance(content, bytes) else content.read()
    return SimpleUploadedFile("upload", data)


def test_a_training_from_nothing_over_the_api(
    trainer: User, finish: Callable[[Run], Run]
) -> None:
    api = client_of(trainer)
    api.post("/api/v1/datasets", {"name": "prod.fraud.cells"}, format="json")
    snapshot = api.post(
        "/api/v1/datasets/prod.fraud.cells/snapshots",
        {"a.csv": file(b"1,2\n"), "sub/b.csv": file(b"3,4\n")},
        format="multipart",
    )
    api.post("/api/v1/packages", {"name": "prod.fraud.tree"}, format="json")
    body = "open('artifacts/note.txt', 'w').write('hello')"
    version = api.post(
        "/api/v1/packages/prod.fraud.tree/versions",
        {"file": file(zipped_package(with_train(body)))},
        format="multipart",
    )
    pipeline = api.post(
        "/api/v1/pipelines",
        {
            "name": "prod.fraud.training",
            "package": "prod.fraud.tree",
            "target_model": "prod.fraud.scorer",
            "dataset": "prod.fraud.cells",
        },
        format="json",
    )
    run = api.post(
        "/api/v1/pipelines/prod.fraud.training/runs",
        {"parameters": {"depth": "3"}},
        format="json",
        headers={"Idempotency-Key": "first"},
    )

    assert snapshot.data["files"] == 2
    assert version.data["version"] == "1.0"
    assert version.data["functions"] == {"train.py": ["save", "train"]}
    assert pipeline.status_code == 201, pipeline.data
    assert (run.status_code, run.data["status"]) == (201, "queued")

    finish(Run.objects.get(pk=run.data["id"]))

    url = f"/api/v1/runs/{run.data['id']}"
    details = api.get(url).data
    assert details["status"] == "succeeded", details["failure_summary"]
    assert details["model_version"] == "prod.fraud.scorer/1"
    assert details["trained_package"] == "prod.fraud.tree/1.1"
    assert [output["path"] for output in details["artifacts"]] == ["note.txt"]
    assert "trained on 2 files" in api.get(f"{url}/logs").data["text"]
    jsonschema.validate(api.get(f"{url}/results.json").json(), SCHEMA)
    note = api.get(f"{url}/artifacts/note.txt")
    assert b"".join(note.streaming_content) == b"hello"
    assert note["Content-Disposition"].startswith("attachment")
    zipped = api.get("/api/v1/packages/prod.fraud.tree/versions/1.1/zip")
    assert b"".join(zipped.streaming_content).startswith(b"PK")


def test_package_without_train_is_a_400_that_names_it(
    package: object, trainer: User
) -> None:
    bad = zipped_package("class Main:\n    def save(self): ...")

    answer = client_of(trainer).post(
        "/api/v1/packages/prod.fraud.tree/versions",
        {"file": file(bad)},
        format="multipart",
    )

    assert answer.status_code == 400
    assert answer.data["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "train.py: class Main has no train()" in answer.data["message"]


def test_up_32_run_without_artifacts_has_no_such_key(
    pipeline: Pipeline, finish: Callable[[Run], Run]
) -> None:
    api = client_of(pipeline.owner)
    run = api.post("/api/v1/pipelines/prod.fraud.training/runs", {}, format="json").data

    finish(Run.objects.get(pk=run["id"]))

    assert "artifacts" not in api.get(f"/api/v1/runs/{run['id']}").data


def test_log_is_read_from_an_offset(
    pipeline: Pipeline, finish: Callable[[Run], Run]
) -> None:
    api = client_of(pipeline.owner)
    run = api.post("/api/v1/pipelines/prod.fraud.training/runs", {}, format="json").data
    finish(Run.objects.get(pk=run["id"]))

    whole = api.get(f"/api/v1/runs/{run['id']}/logs").data
    rest = api.get(f"/api/v1/runs/{run['id']}/logs?offset=8").data

    assert whole["text"] == "trained on 3 files\n"
    assert rest["text"] == "on 3 files\n"
    assert rest["next_offset"] == whole["next_offset"]
    assert rest["is_complete"] is True


def test_results_before_the_end_are_a_conflict(pipeline: Pipeline) -> None:
    api = client_of(pipeline.owner)
    run = api.post("/api/v1/pipelines/prod.fraud.training/runs", {}, format="json").data

    assert api.get(f"/api/v1/runs/{run['id']}/results.json").status_code == 409
    cancelled = api.post(f"/api/v1/runs/{run['id']}/cancel")
    assert (cancelled.status_code, cancelled.data["status"]) == (202, "cancelled")


def test_stranger_gets_404_everywhere(pipeline: Pipeline, stranger: User) -> None:
    owner, api = client_of(pipeline.owner), client_of(stranger)
    run = owner.post(
        "/api/v1/pipelines/prod.fraud.training/runs", {}, format="json"
    ).data

    paths = [
        "datasets/prod.fraud.cells",
        "datasets/prod.fraud.cells/snapshots",
        f"datasets/prod.fraud.cells/snapshots/{run['snapshot']}",
        "packages/prod.fraud.tree",
        "packages/prod.fraud.tree/versions/1.0/zip",
        "pipelines/prod.fraud.training",
        f"runs/{run['id']}",
        f"runs/{run['id']}/logs",
        f"runs/{run['id']}/artifacts/x",
    ]
    assert {api.get(f"/api/v1/{path}").status_code for path in paths} == {404}
    start = api.post("/api/v1/pipelines/prod.fraud.training/runs", {}, format="json")
    assert start.status_code == 404
    assert api.get("/api/v1/pipelines").data["pipelines"] == []
    assert APIClient().get("/api/v1/pipelines").status_code == 401


def test_runner_may_start_and_read_but_not_see_the_package(
    pipeline: Pipeline, runner: User
) -> None:
    api = client_of(runner)

    run = api.post("/api/v1/pipelines/prod.fraud.training/runs", {}, format="json")

    assert run.status_code == 201, run.data
    assert api.get(f"/api/v1/runs/{run.data['id']}").status_code == 200
    assert api.get("/api/v1/packages/prod.fraud.tree").status_code == 404


def test_lists_come_in_pages(pipeline: Pipeline) -> None:
    api = client_of(pipeline.owner)
    started = [
        api.post("/api/v1/pipelines/prod.fraud.training/runs", {}, format="json").data
        for _ in range(3)
    ]
    url = "/api/v1/pipelines/prod.fraud.training/runs?max_results=2"

    first = api.get(url).data
    second = api.get(f"{url}&page_token={first['next_page_token']}").data

    ids = [run["id"] for run in first["runs"] + second["runs"]]
    assert ids == [run["id"] for run in reversed(started)]
    assert second["next_page_token"] == ""
