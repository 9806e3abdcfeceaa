"""`_results.json`: what every run, successful or not, says of itself.

The schema is results.schema.json, beside this file.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from runners.models import PackageVersion, Run
from runners.parameters import SAVE_DATA


def build(
    run: Run,
    *,
    ended_at: dt.datetime,
    has_artifacts: bool,
    trained: PackageVersion | None,
) -> dict[str, Any]:
    """Return the content of the results file; times are in seconds."""
    start = (run.started_at or run.created_at).timestamp()
    end = max(start, ended_at.timestamp())
    data = data_location(run)
    keeps_data = run.parameters.get(SAVE_DATA) == "true"
    return {
        "parameters": {
            "pipeline": run.pipeline.full_name,
            "inputs": {
                "package": run.package_version.package.full_name,
                "version": run.package_version.number,
                "train_data": data,
                "gpu": str(run.gpu),
            },
            "env": run.parameters,
        },
        "run_summary": {
            "execution_time": end - start,
            "start_at": start,
            "end_at": end,
            "outputs": {
                "train_data": data if keeps_data else None,
                "artifacts_data": f"runs/{run.id}/artifacts" if has_artifacts else None,
                "package": trained.package.full_name if trained else None,
                "version": trained.number if trained else None,
            },
        },
    }


def data_location(run: Run) -> str:
    """Return where the API shows the data of a run, below /api/v1/."""
    snapshot = f"datasets/{run.snapshot.dataset.full_name}/snapshots"
    location = f"{snapshot}/{run.snapshot.digest}"
    return f"{location}?folder={run.folder}" if run.folder else location
