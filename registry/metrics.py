"""The metrics that MLflow keeps of a version: of its logged model, else of its run."""

from __future__ import annotations

import math

from django.db import connection

from registry.models import ModelVersion

# Of a logged model MLflow keeps a NaN as 0 and does not say so; the same value is
# among the metrics of the run, and there it does.
_OF_LOGGED_MODEL = (
    "SELECT l.metric_name, l.metric_value, EXISTS (SELECT 1 FROM metrics m"
    " WHERE m.run_uuid = l.run_id AND m.key = l.metric_name"
    " AND m.timestamp = l.metric_timestamp_ms AND m.step = l.metric_step AND m.is_nan)"
    " FROM logged_model_metrics l WHERE l.model_id = %s"
    " ORDER BY l.metric_timestamp_ms, l.metric_step, l.dataset_name"
)
_OF_RUN = "SELECT key, value, is_nan FROM latest_metrics WHERE run_uuid = %s"


def metrics_of(version: ModelVersion) -> dict[str, float]:
    """Return the latest value of each metric; what is no number is NaN.

    A run may have logged several models: what was recorded of this one goes before
    what was recorded of the run.
    """
    found: dict[str, float] = {}
    with connection.cursor() as cursor:
        for sql, key in (
            (_OF_RUN, version.mlflow_run_id),
            (_OF_LOGGED_MODEL, version.logged_model_id),
        ):
            if key:
                cursor.execute(sql, [key])
                for name, value, is_nan in cursor:
                    found[name] = math.nan if is_nan else float(value)
    return found
