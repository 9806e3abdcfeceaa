"""Shapes of packages, datasets, pipelines and runs on the wire."""

from __future__ import annotations

from rest_framework import serializers

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


def dataset_json(dataset: Dataset) -> DatasetJson:
    return {
        "id": dataset.id,
        "name": dataset.full_name,
        "comment": dataset.comment,
        "owner": dataset.owner.username,
        "created_at": dataset.created_at,
    }


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
    return {
        "id": package.id,
        "name": package.full_name,
        "comment": package.comment,
        "owner": package.owner.username,
        "created_at": package.created_at,
    }


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


def pipeline_json(pipeline: Pipeline) -> PipelineJson:
    dataset = pipeline.dataset.full_name if pipeline.dataset else ""
    return {
        "id": pipeline.id,
        "name": pipeline.full_name,
        "type": "training",
        "comment": pipeline.comment,
        "owner": pipeline.owner.username,
        "run_as": pipeline.run_as.username,
        "package": pipeline.package.full_name,
        "target_model": pipeline.target_model,
        "request_alias": pipeline.request_alias,
        "dataset": f"{dataset}/{pipeline.folder}".rstrip("/"),
        "parameters": pipeline.parameters,
        "timeout_seconds": pipeline.timeout_seconds,
        "is_enabled": pipeline.is_enabled,
        "created_at": pipeline.created_at,
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
