"""Indexes that MLflow's tables lack, for the queries of `registry.walks`.

MLflow sorts and filters by columns that it has no index for: a first page of versions
costs it a sort of all versions. Its migrations neither know nor mind these.
"""

from __future__ import annotations

from django.db import connection

from core import sql


def create_indexes() -> None:
    """Create the indexes that are missing."""
    with connection.cursor() as cursor:
        for name, definition in _definitions().items():
            cursor.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {definition}")


def _definitions() -> dict[str, str]:
    by_bytes = "varchar_pattern_ops" if sql.is_postgresql() else ""
    updated = f"(COALESCE(last_updated_time, 0)) DESC, name {by_bytes}"
    versions = f"{updated}, version DESC)"
    return {
        # search_models by last_updated_timestamp DESC, for who sees everything
        "greenlight_models_updated": (f"registered_models ({updated})"),
        # search_versions in its default order: for who sees everything, ...
        "greenlight_versions_updated": f"model_versions ({versions}",
        # ... one catalog, ...
        "greenlight_versions_of_catalog": (
            f"model_versions (({sql.catalog_of('name')}), {versions}"
        ),
        # ... and one schema
        "greenlight_versions_of_schema": (
            f"model_versions (({sql.schema_of('name')}), {versions}"
        ),
        # search_versions of a run: which versions came from it
        "greenlight_versions_of_run": ("model_versions (run_id)"),
    }
