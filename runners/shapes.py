"""What the REST of training answers."""

from __future__ import annotations

import datetime as dt
from typing import Any, NotRequired, TypedDict
from uuid import UUID

from access.shapes import NeededJson

# the bodies of uploads: a form
_BYTES = {"type": "string", "format": "binary"}
PARTS = {"multipart/form-data": {"type": "object", "additionalProperties": _BYTES}}
ONE_FILE = {
    "multipart/form-data": {
        "type": "object",
        "properties": {"file": _BYTES},
        "required": ["file"],
    }
}


class NamedJson(TypedDict):
    """A thing under a name."""

    id: UUID
    name: str
    comment: str
    owner: str
    created_at: dt.datetime


class DatasetJson(NamedJson):
    """Data under a name; what is trained on is a snapshot of it.

    To who only browses, of its snapshots nothing is shown.
    """

    browse_only: bool


class DatasetsJson(TypedDict):
    """A page of the datasets that one sees."""

    datasets: list[DatasetJson]
    next_page_token: str


class SnapshotJson(TypedDict):
    """The files of a dataset at one moment, named by the digest of their manifest."""

    id: UUID
    dataset: str
    digest: str
    files: int
    size_bytes: int
    created_by: str
    created_at: dt.datetime


class SnapshotsJson(TypedDict):
    """The snapshots of a dataset, newest first."""

    snapshots: list[SnapshotJson]


class EntryJson(TypedDict):
    """A file, by its path, size and digest."""

    path: str
    size: int
    sha256: str


class SnapshotDetailJson(SnapshotJson):
    """A snapshot with its files."""

    manifest: list[EntryJson]


class PackageJson(NamedJson):
    """Training code under a name."""


class PackagesJson(TypedDict):
    """A page of the packages that one may read."""

    packages: list[PackageJson]
    next_page_token: str


class PackageVersionJson(TypedDict):
    """A version of training code; an upload is a new major one."""

    id: UUID
    package: str
    version: str
    digest: str
    size_bytes: int
    functions: list[str]
    lock: str
    parent_version: str | None
    run_id: UUID | None
    created_by: str
    created_at: dt.datetime


class PackageVersionsJson(TypedDict):
    """The versions of a package."""

    versions: list[PackageVersionJson]


class PipelineJson(NamedJson):
    """What is trained, on which data, for which model.

    To who only browses, it has its name, comment and owner, and no more.
    """

    type: str
    browse_only: bool
    run_as: NotRequired[str]
    package: NotRequired[str]
    target_model: NotRequired[str]
    request_alias: NotRequired[str]
    dataset: NotRequired[str]
    parameters: NotRequired[dict[str, str]]
    timeout_seconds: NotRequired[int]
    is_enabled: NotRequired[bool]


class PipelinesJson(TypedDict):
    """A page of the pipelines that one may see or run."""

    pipelines: list[PipelineJson]
    next_page_token: str


class PreflightJson(TypedDict):
    """What a run needs that its run-as principal must have, met or not."""

    run_as: str
    is_ready: bool
    requirements: list[NeededJson]


class RunJson(TypedDict):
    """One training: asked for once, attempted until it ends."""

    id: UUID
    pipeline: str
    status: str
    wait_reason: str
    is_cancelling: bool
    package_version: str
    dataset: str
    snapshot: str
    folder: str
    parameters: dict[str, str]
    gpu: bool
    started_by: str
    run_as: str
    attempt: int
    failure_class: str
    failure_summary: str
    created_at: dt.datetime
    started_at: dt.datetime | None
    ended_at: dt.datetime | None


class RunsJson(TypedDict):
    """A page of the runs of a pipeline, newest first."""

    runs: list[RunJson]
    next_page_token: str


class AttemptJson(TypedDict):
    """One start of the training code, on one host."""

    number: int
    status: str
    host: str
    rc: int | None
    why: str
    usage: dict[str, Any]
    started_at: dt.datetime | None
    ended_at: dt.datetime | None


class RunDetailsJson(RunJson):
    """A run with what it produced; `artifacts` only if there are any."""

    attempts: list[AttemptJson]
    model_version: str | None
    trained_package: str | None
    artifacts: NotRequired[list[EntryJson]]


class ArtifactsJson(TypedDict):
    """The files that the training code left in its artifacts directory."""

    artifacts: list[EntryJson]


class LogJson(TypedDict):
    """A piece of a log; ask again from `next_offset` unless it is complete."""

    attempt: int
    offset: int
    next_offset: int
    text: str
    is_complete: bool


class ResultsJson(TypedDict):
    """What runners/results.schema.json says of `_results.json`."""

    parameters: dict[str, Any]
    run_summary: dict[str, Any]
