"""The runners' services, by noun; call them as `runners.verb_noun(…)`."""

from __future__ import annotations

from runners.datasets import (
    create_dataset,
    create_snapshot,
    get_dataset,
    get_snapshot,
    snapshot_directory,
    visible_datasets,
)
from runners.services.packages import (
    create_package,
    get_package,
    get_package_version,
    open_package,
    upload_package,
    visible_packages,
)
from runners.services.pipelines import (
    create_pipeline,
    get_pipeline,
    preflight,
    visible_pipelines,
)
from runners.services.runs import (
    LogPart,
    cancel_run,
    get_run,
    open_output,
    read_log,
    read_results,
    start_run,
    visible_runs,
)

__all__ = [
    "LogPart",
    "cancel_run",
    "create_dataset",
    "create_package",
    "create_pipeline",
    "create_snapshot",
    "get_dataset",
    "get_package",
    "get_package_version",
    "get_pipeline",
    "get_run",
    "get_snapshot",
    "open_output",
    "open_package",
    "preflight",
    "read_log",
    "read_results",
    "snapshot_directory",
    "start_run",
    "upload_package",
    "visible_datasets",
    "visible_packages",
    "visible_pipelines",
    "visible_runs",
]
