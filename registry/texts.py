"""Comments and tags as MLflow's own tables keep them, read in one statement each."""

from __future__ import annotations

from typing import Any

from django.db import connection

from registry.models import ModelVersion, RegisteredModel

_WORKSPACE = "default"


def comments_of(model: RegisteredModel, numbers: list[int]) -> dict[int, str]:
    """Return the comments of some versions of a model, by number."""
    if not numbers:
        return {}
    marks = ", ".join(["%s"] * len(numbers))
    rows = _rows(
        "SELECT version, description FROM model_versions"
        f" WHERE workspace = %s AND name = %s AND version IN ({marks})",
        [_WORKSPACE, model.full_name, *numbers],
    )
    return {number: comment or "" for number, comment in rows}


def tags_of_model(model: RegisteredModel) -> dict[str, str]:
    """Return the tags of a model."""
    return dict(
        _rows(
            "SELECT key, value FROM registered_model_tags"
            " WHERE workspace = %s AND name = %s ORDER BY key",
            [_WORKSPACE, model.full_name],
        )
    )


def tags_of_version(version: ModelVersion) -> dict[str, str]:
    """Return the tags of a version."""
    return dict(
        _rows(
            "SELECT key, value FROM model_version_tags"
            " WHERE workspace = %s AND name = %s AND version = %s ORDER BY key",
            [_WORKSPACE, version.model.full_name, version.number],
        )
    )


def _rows(sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
