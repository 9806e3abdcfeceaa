"""The rows of MLflow's that a registration and a moved alias write, in few statements.

MLflow's store would do the same in a session of its own: three savepoints and eleven
statements for a version. Its validators are asked here, too. All of this runs in
Django's transaction, under the lock of the governance row of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connection
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import (
    _validate_model_alias_name,
    _validate_model_alias_name_reserved,
    _validate_model_name,
    _validate_model_version_tag,
)

from registry.store import VERSION_FILES

_TOUCH = """
    UPDATE registered_models SET last_updated_time = %(now)s
    WHERE workspace = 'default' AND name = %(name)s
"""
# The next number, at least `after` + 1; a deleted version keeps its own.
_INSERT_VERSION = """
    INSERT INTO model_versions (workspace, name, version, creation_time,
        last_updated_time, description, user_id, current_stage, source,
        storage_location, run_id, run_link, status)
    SELECT 'default', CAST(%(name)s AS varchar(256)), n.version, %(now)s, %(now)s,
        CAST(%(description)s AS varchar(5000)), CAST(%(user_id)s AS varchar(256)),
        'None', CAST(%(source)s AS varchar(500)),
        CAST(%(place)s AS varchar(500)) || '/' || n.version,
        CAST(%(run_id)s AS varchar(32)), CAST(%(run_link)s AS varchar(500)),
        CAST(%(status)s AS varchar(20))
    FROM (
        SELECT MAX(version) + 1 AS version FROM (
            SELECT CAST(%(after)s AS integer) AS version
            UNION ALL
            SELECT MAX(version) FROM model_versions
            WHERE workspace = 'default' AND name = CAST(%(name)s AS varchar(256))
        ) known
    ) n
    RETURNING version
"""
_INSERT_TAGS = """
    INSERT INTO model_version_tags (workspace, name, version, key, value) VALUES
"""
_POINT_ALIAS = """
    INSERT INTO registered_model_aliases (workspace, name, alias, version)
    VALUES ('default', %s, %s, %s)
    ON CONFLICT (workspace, name, alias) DO UPDATE SET version = excluded.version
"""


def insert_version(
    name: str,
    source: str,
    *,
    status: str,
    user_id: str,
    after: int = 0,
    run_id: str | None = None,
    run_link: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> int:
    """Insert a version of a model; return its number, which is higher than `after`.

    Raises MlflowException for a tag that MLflow refuses, or a model it does not know.
    """
    _validate_model_name(name)
    for key, value in (tags or {}).items():
        _validate_model_version_tag(key, value)
    values = {
        "name": name,
        "now": get_current_time_millis(),
        "after": after,
        "source": source[:500],
        "place": f"{VERSION_FILES}/{name}",
        "status": status,
        "user_id": user_id,
        "run_id": run_id,
        "run_link": run_link,
        "description": description,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TOUCH, {"now": values["now"], "name": name})
        if not cursor.rowcount:
            raise MlflowException(
                f"Registered Model with name={name} not found", RESOURCE_DOES_NOT_EXIST
            )
        cursor.execute(_INSERT_VERSION, values)
        number = int(cursor.fetchone()[0])
        if tags:
            rows = ", ".join(["('default', %s, %s, %s, %s)"] * len(tags))
            each = [(name, number, key, value) for key, value in tags.items()]
            cursor.execute(_INSERT_TAGS + rows, [one for row in each for one in row])
    return number


def change_version(name: str, number: int, /, **columns: Any) -> None:
    """Set columns of a version."""
    named = ", ".join(f"{column} = %s" for column in columns)
    where = "workspace = 'default' AND name = %s AND version = %s"
    sql = f"UPDATE model_versions SET {named} WHERE {where}"  # noqa: S608  # our own
    with connection.cursor() as cursor:
        cursor.execute(sql, [*columns.values(), name, number])


def point_alias(name: str, alias: str, number: int) -> None:
    """Let an alias of a model point at one of its versions."""
    _validate_model_name(name)
    _validate_model_alias_name(alias)
    _validate_model_alias_name_reserved(alias)
    with connection.cursor() as cursor:
        cursor.execute(_POINT_ALIAS, [name, alias, number])
