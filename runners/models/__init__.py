"""The rows of training: packages, datasets, pipelines, runs."""

from __future__ import annotations

from runners.models.datasets import Dataset, DatasetGrant, Snapshot
from runners.models.packages import Package, PackageVersion
from runners.models.pipelines import Pipeline, PipelineGrant
from runners.models.runs import (
    Attempt,
    AttemptStatus,
    FailureClass,
    LogChunk,
    Registration,
    Run,
    RunOutput,
    RunStatus,
)

__all__ = [
    "Attempt",
    "AttemptStatus",
    "Dataset",
    "DatasetGrant",
    "FailureClass",
    "LogChunk",
    "Package",
    "PackageVersion",
    "Pipeline",
    "PipelineGrant",
    "Registration",
    "Run",
    "RunOutput",
    "RunStatus",
    "Snapshot",
]
