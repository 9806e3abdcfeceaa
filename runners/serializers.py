"""Shapes of packages, datasets, pipelines and runs on the wire."""

from __future__ import annotations

from rest_framework import serializers

from access.conditions import detailed_among
from access.models import User
from core.serializers import InputSerializer
from runners.models import (
    Attempt,
    Dataset,
    Package,
    PackageVersion,
    Pipeline,
    Run,
    RunOutput,
    Snapshot,
)
from runners.services import LogPart
from runners.shapes import (
    AttemptJson,
    DatasetJson,
    EntryJson,
    LogJson,
    NamedJson,
    PackageJson,
    PackageVersionJson,
    PipelineJson,
    RunDetailsJson,
    RunJson,
    SnapshotJson,
)


class _Parameters(serializers.DictField):
    child = serializers.CharField(allow_blank=True, trim_whitespace=False)


class CreateSerializer(InputSerializer):
    name = serializers.CharField(max_length=767)
    comment = serializers.CharField(default="", allow_blank=True, max_length=10_000)


class PipelineSerializer(CreateSerializer):
    package = serializers.CharField(max_length=767)
    target_model = serializers.CharField(max_length=767)
    request_alias = serializers.CharField(default="", allow_blank=True, max_length=255)
    dataset = serializers.CharField(default="", allow_blank=True, max_length=1800)
    parameters = _Parameters(default=dict)
    timeout_seconds = serializers.IntegerField(default=24 * 3600)


class RunSerializer(InputSerializer):
    version = serializers.CharField(default="", allow_blank=True, max_length=20)
    dataset = serializers.CharField(default="", allow_blank=True, max_length=1800)
    snapshot = serializers.CharField(default="", allow_blank=True, max_length=64)
    parameters = _Parameters(default=dict)
    gpu = serializers.BooleanField(default=False)
    timeout_seconds = serializers.IntegerField(default=None, allow_null=True)


class LogQuerySerializer(InputSerializer):
    offset = serializers.IntegerField(default=0, min_value=0)
    attempt = serializers.IntegerField(default=None, allow_null=True, min_value=1)


class FolderQuerySerializer(InputSerializer):
    folder = serializers.CharField(default="", allow_blank=True, max_length=1024)


class PageQuerySerializer(InputSerializer):
    page_token = serializers.CharField(default="", allow_blank=True, max_length=4096)
    max_results = serializers.IntegerField(default=50, min_value=1, max_value=200)


def _named_json(row: Dataset | Package | Pipeline) -> NamedJson:
    return {
        "id": row.id,
        "name": row.full_name,
        "comment": row.comment,
        "owner": row.owner.username,
        "created_at": row.created_at,
    }


def dataset_json(dataset: Dataset, *, browse_only: bool = False) -> DatasetJson:
    return {**_named_json(dataset), "browse_only": browse_only}


def datasets_json(rows: list[Dataset], principal: User) -> list[DatasetJson]:
    """Render datasets, and mark those that are only browsed."""
    detailed = detailed_among(principal, Dataset, [row.pk for row in rows])
    return [dataset_json(row, browse_only=row.pk not in detailed) for row in rows]


def snapshot_json(snapshot: Snapshot) -> SnapshotJson:
    return {
        "id": snapshot.id,
        "dataset": snapshot.dataset.full_name,
        "digest": snapshot.digest,
        "files": snapshot.files,
        "size_bytes": snapshot.size_bytes,
        "created_by": snapshot.created_by.username,
        "created_at": snapshot.created_at,
    }


def package_json(package: Package) -> PackageJson:
    return {**_named_json(package)}


def package_version_json(version: PackageVersion) -> PackageVersionJson:
    parent = version.parent_version
    return {
        "id": version.id,
        "package": version.package.full_name,
        "version": version.number,
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "functions": version.functions,
        "lock": version.lock,
        "parent_version": parent.number if parent else None,
        "run_id": version.run_id,
        "created_by": version.created_by.username,
        "created_at": version.created_at,
    }


def browsed_pipeline_json(pipeline: Pipeline) -> PipelineJson:
    """Render a pipeline for who may know that it is there, and no more."""
    return {
        **_named_json(pipeline),  # type: ignore[typeddict-item]  # it wants optional keys too
        "type": "training",
        "browse_only": True,
    }


def pipelines_json(rows: list[Pipeline], principal: User) -> list[PipelineJson]:
    """Render pipelines, those that are only browsed without their details."""
    detailed = detailed_among(principal, Pipeline, [row.pk for row in rows])
    return [
        pipeline_json(row) if row.pk in detailed else browsed_pipeline_json(row)
        for row in rows
    ]


def pipeline_json(pipeline: Pipeline) -> PipelineJson:
    dataset = pipeline.dataset.full_name if pipeline.dataset else ""
    return {
        **_named_json(pipeline),
        "type": "training",
        "browse_only": False,
        "run_as": pipeline.run_as.username,
        "package": pipeline.package.full_name,
        "target_model": pipeline.target_model,
        "request_alias": pipeline.request_alias,
        "dataset": f"{dataset}/{pipeline.folder}".rstrip("/"),
        "parameters": pipeline.parameters,
        "timeout_seconds": pipeline.timeout_seconds,
        "is_enabled": pipeline.is_enabled,
    }


def run_json(run: Run) -> RunJson:
    return {
        "id": run.id,
        "pipeline": run.pipeline.full_name,
        "status": run.status,
        "wait_reason": run.wait_reason,
        "is_cancelling": bool(run.cancel_requested_at) and not run.has_ended,
        "package_version": run.package_version.full_name,
        "dataset": run.snapshot.dataset.full_name,
        "snapshot": run.snapshot.digest,
        "folder": run.folder,
        "parameters": run.parameters,
        "gpu": run.gpu,
        "started_by": run.started_by.username,
        "run_as": run.run_as.username,
        "attempt": run.attempt_number,
        "failure_class": run.failure_class,
        "failure_summary": run.failure_summary,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
    }


def run_details_json(run: Run) -> RunDetailsJson:
    """Describe a run with what it produced; `artifacts` only if there are any."""
    registered = run.registrations.select_related("version__model").first()
    trained = getattr(run, "trained_version", None)
    details: RunDetailsJson = {
        **run_json(run),  # type: ignore[typeddict-item]  # it wants optional keys too
        "attempts": [attempt_json(attempt) for attempt in run.attempts.all()],
        "model_version": registered.version.full_name if registered else None,
        "trained_package": trained.full_name if trained else None,
    }
    if outputs := [output_json(output) for output in run.outputs.all()]:
        details["artifacts"] = outputs
    return details


def attempt_json(attempt: Attempt) -> AttemptJson:
    return {
        "number": attempt.number,
        "status": attempt.status,
        "host": attempt.host,
        "rc": attempt.rc,
        "why": attempt.why,
        "usage": attempt.usage,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
    }


def output_json(output: RunOutput) -> EntryJson:
    return {"path": output.path, "size": output.size, "sha256": output.sha256}


def log_json(part: LogPart) -> LogJson:
    return {
        "attempt": part.attempt,
        "offset": part.offset,
        "next_offset": part.next_offset,
        "text": part.text,
        "is_complete": part.is_complete,
    }
