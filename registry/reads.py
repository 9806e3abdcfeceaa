"""The hot read: resolve a version and authorize it, in one statement.

It bypasses MLflow's session, and costs one query besides authentication.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import connection

from access.authz import require, satisfied, shows_details
from access.facts import (
    Fact,
    db_uuid,
    facts_parameters,
    facts_union,
    from_db_uuid,
    mine_cte,
    object_cte,
)
from access.models import User
from access.privileges import Privilege
from core.errors import InvalidParameter, NotFound, unseen
from registry.models import ModelVersion, RegisteredModel
from registry.services.models import get_model

COLUMNS = (
    "m.creation_time",
    "m.last_updated_time",
    "m.current_stage",
    "m.description",
    "m.source",
    "m.run_id",
    "m.status",
    "m.status_message",
    "m.run_link",
    "m.user_id",
    "v.number",
    "v.logged_model_id",
    "v.id",
    "v.tampered_at",
)


@dataclass(frozen=True)
class VersionRow:
    """A version as MLflow's wire format knows it."""

    id: uuid.UUID
    model_pk: uuid.UUID
    name: str
    number: int
    is_tampered: bool
    fields: dict[str, Any]
    tags: list[dict[str, str]]
    aliases: list[str]


def version_by_alias(full_name: str, alias: str, *, principal: User) -> VersionRow:
    """Return the version that an alias points at.

    Raises NotFound or PermissionDenied for the model, and InvalidParameter for
    a missing alias, which is what MLflow's clients expect.
    """
    row = _read(_BY_ALIAS, full_name, alias, principal)
    if row is None:
        raise InvalidParameter(f"Registered model alias {alias} not found.")
    return row


def version_by_number(full_name: str, number: int, *, principal: User) -> VersionRow:
    """Return a version by its number. Raises NotFound or PermissionDenied."""
    row = _read(_BY_NUMBER, full_name, number, principal)
    if row is None:
        raise NotFound(f"{full_name} has no version {number}.")
    return row


def loadable_version(full_name: str, number: int, *, principal: User) -> VersionRow:
    """Return a version whose bytes the principal may read (rule P-6)."""
    row = _read(_BY_NUMBER, full_name, number, principal, bytes_too=True)
    if row is None:
        raise NotFound(f"{full_name} has no version {number}.")
    return row


def version_as_written(version: ModelVersion) -> VersionRow:
    """Return a version that the caller has just written, whatever it may read."""
    with connection.cursor() as cursor:
        cursor.execute(_own_statement(), [db_uuid(version.pk)])
        *values, model_pk, tags, aliases = cursor.fetchone()
    fields = dict(zip([c.split(".")[1] for c in COLUMNS], values, strict=True))
    return _version_row(version.model.full_name, model_pk, fields, tags, aliases)


_BY_ALIAS = (
    "LEFT JOIN registry_alias a ON a.model_id = o.id0 AND LOWER(a.name) = LOWER(%(key)s)"
    " LEFT JOIN registry_modelversion v ON v.id = a.version_id"
)
_BY_NUMBER = (
    "LEFT JOIN registry_modelversion v ON v.model_id = o.id0 AND v.number = %(key)s"
    " AND v.status <> 'deleted'"
)


@cache
def _statement(join: str) -> str:
    union = facts_union(RegisteredModel)
    if connection.vendor == "postgresql":
        facts = "string_agg(level::text || ':' || privilege, ',')"
    else:
        facts = "group_concat(level || ':' || privilege)"
    return (
        f"WITH RECURSIVE {mine_cte()},"
        f" {object_cte(RegisteredModel, 't0.full_name = %(full_name)s')}"
        f" SELECT {', '.join(COLUMNS)}, o.id0,"
        f" (SELECT {facts} FROM ({union}) f), {_lists()}"
        f" FROM o {join} LEFT JOIN model_versions m ON m.workspace = 'default'"
        " AND m.name = %(full_name)s AND m.version = v.number"
    )


@cache
def _own_statement() -> str:
    return (
        f"SELECT {', '.join(COLUMNS)}, v.model_id, {_lists()}"
        " FROM registry_modelversion v JOIN registry_registeredmodel o"
        " ON o.id = v.model_id AND o.deleted_at IS NULL"
        " JOIN model_versions m ON m.workspace = 'default'"
        " AND m.name = o.full_name AND m.version = v.number WHERE v.id = %s"
    )


def _lists() -> str:
    """Return the columns with the tags and the aliases of a version."""
    if connection.vendor == "postgresql":
        tags = "json_agg(json_build_object('key', key, 'value', value))::text"
        aliases = "json_agg(name)::text"
    else:
        tags = "json_group_array(json_object('key', key, 'value', value))"
        aliases = "json_group_array(name)"
    return (
        f"(SELECT {tags} FROM model_version_tags t WHERE t.workspace = 'default'"
        " AND t.name = m.name AND t.version = m.version),"
        f" (SELECT {aliases} FROM registry_alias a2 WHERE a2.version_id = v.id)"
    )


def _read(
    join: str,
    full_name: str,
    key: str | int,
    principal: User,
    *,
    bytes_too: bool = False,
) -> VersionRow | None:
    parameters = {
        "full_name": full_name,
        "key": key,
        **facts_parameters(principal),
    }
    with connection.cursor() as cursor:
        cursor.execute(_statement(join), parameters)
        row = cursor.fetchone()
    if row is None:
        get_model(full_name)  # raises what is wrong with the name
        raise unseen("model", full_name)
    *values, model_pk, packed, tags, aliases = row
    _authorize(full_name, _unpack(packed), principal, bytes_too)
    fields = dict(zip([c.split(".")[1] for c in COLUMNS], values, strict=True))
    if fields["creation_time"] is None:
        return None
    return _version_row(full_name, model_pk, fields, tags, aliases)


def _version_row(
    full_name: str,
    model_pk: Any,
    fields: dict[str, Any],
    tags: str | None,
    aliases: str | None,
) -> VersionRow:
    return VersionRow(
        id=from_db_uuid(fields.pop("id")),
        model_pk=from_db_uuid(model_pk),
        name=full_name,
        number=fields.pop("number"),
        is_tampered=fields.pop("tampered_at") is not None,
        fields=fields,
        tags=json.loads(tags or "[]"),
        aliases=json.loads(aliases or "[]"),
    )


def _authorize(
    full_name: str, facts: frozenset[Fact], principal: User, bytes_too: bool
) -> None:
    if bytes_too:
        allowed = any(
            satisfied(principal, privilege, RegisteredModel, facts)
            for privilege in (Privilege.OWN, Privilege.EXECUTE)
        )
    else:
        allowed = shows_details(principal, RegisteredModel, facts)
    if not allowed:
        require(principal, Privilege.EXECUTE, get_model(full_name))


def _unpack(packed: str | None) -> frozenset[Fact]:
    pairs: Sequence[str] = packed.split(",") if packed else ()
    return frozenset(
        (int(level), privilege)
        for level, privilege in (pair.split(":") for pair in pairs)
    )
