"""The facts of one object, read in one statement: every grant and ownership."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from django.db import connection
from django.utils import timezone

from access.models import User
from access.rules import ABSENT, level_models, may_be_absent
from access.securables import Securable

Fact = tuple[int, str]  # (how many levels above the object, privilege)
_kept: ContextVar[dict[Any, frozenset[Fact]] | None] = ContextVar("kept", default=None)
_HERE: Fact = (-1, "")  # there is such an object


@contextmanager
def facts_kept() -> Iterator[None]:
    """Read the facts of an object once within the block, for one decision.

    The face, the gate and the registry each ask whether a caller may. So the block
    is one short request, and changes no grant, owner or group itself.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


_NOT_BY_ONESELF = (
    " AND (g.granted_at <= %(since)s OR g.granted_by_id NOT IN (SELECT id FROM"
    " access_user WHERE id = %(person)s OR owner_id = %(person)s))"
)


def facts_of(principal: User, securable: Securable) -> frozenset[Fact]:
    """Read every grant and ownership that bears on the object, in one query."""
    kept = _kept.get()
    if kept is None:
        return _read_facts(principal, securable)
    key = (principal.pk, type(securable), securable.pk)
    if key not in kept:
        kept[key] = _read_facts(principal, securable)
    return kept[key]


def _read_facts(principal: User, securable: Securable) -> frozenset[Fact]:
    kind = type(securable)
    sql = (
        f"WITH RECURSIVE {mine_cte()}, {object_cte(kind, 't0.id = %(pk)s')}"
        f" {facts_union(kind)}"
    )
    parameters = {"pk": db_uuid(securable.pk), **facts_parameters(principal)}
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return frozenset((level, privilege) for level, privilege in cursor)


def settled_facts_of(
    principal: User, securable: Securable, since: dt.datetime
) -> frozenset[Fact]:
    """Read what bears on the object, without what came about after `since` by itself.

    Left out are memberships younger than that, and grants that somebody's person
    made to themselves since.
    """
    kind = type(securable)
    sql = (
        f"WITH RECURSIVE {_settled_cte()}, {object_cte(kind, 't0.id = %(pk)s')}"
        f" {facts_union(kind, _NOT_BY_ONESELF)}"
    )
    parameters = {
        "pk": db_uuid(securable.pk),
        "person": db_uuid(principal.person.pk),
        "since": connection.ops.adapt_datetimefield_value(since),
        **facts_parameters(principal),
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return frozenset((level, privilege) for level, privilege in cursor)


def facts_where(
    principal: User, kind: type[Securable], condition: str, key: str
) -> frozenset[Fact] | None:
    """Read the same of the object that a condition on `t0` finds by `%(key)s`.

    None when there is none: to an administrator, no facts are not nothing.
    """
    sql = (
        f"WITH RECURSIVE {mine_cte()}, {object_cte(kind, condition)}"
        f" {facts_union(kind)} UNION ALL SELECT -1, '' FROM o"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, {"key": key, **facts_parameters(principal)})
        found = frozenset((level, privilege) for level, privilege in cursor)
    return found - {_HERE} if _HERE in found else None


@cache
def mine_cte() -> str:
    """Return the recursive CTE `mine`: the principal `%(user)s` and its groups."""
    return (
        f"mine(id) AS (SELECT {_user()} UNION SELECT m.group_id FROM"
        " access_membership m JOIN mine ON mine.id = m.member_id)"
    )


@cache
def _settled_cte() -> str:
    """Return the CTE `mine`, with the groups that one was in at `%(since)s`."""
    return (
        f"mine(id) AS (SELECT {_user()} UNION SELECT m.group_id FROM"
        " access_membership m JOIN mine ON mine.id = m.member_id"
        " WHERE m.added_at <= %(since)s)"
    )


def _user() -> str:
    is_postgresql = connection.vendor == "postgresql"
    return "CAST(%(user)s AS uuid)" if is_postgresql else "%(user)s"


@cache
def object_cte(kind: type[Securable], condition: str) -> str:
    """Return the CTE `o`: ids and owners of one object and its containers."""
    columns, joins = [], []
    for level, row in enumerate(level_models(kind)):
        columns.append(f"t{level}.id AS id{level}, t{level}.owner_id AS owner{level}")
        if level:
            link = f"t{level - 1}.{row._meta.model_name}_id"
            table = f"{row._meta.db_table} t{level}"
            joins.append(f"LEFT JOIN {table} ON t{level}.id = {link}")
    return (
        f"o AS (SELECT {', '.join(columns)} FROM {kind._meta.db_table} t0"
        f" {' '.join(joins)} WHERE {condition})"
    )


def facts_parameters(principal: User) -> dict[str, Any]:
    """Return the values for the placeholders of `mine_cte` and `facts_union`."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    return {"user": db_uuid(principal.pk), "now": now}


def db_uuid(value: uuid.UUID) -> Any:
    """Return a UUID as this database stores it."""
    return value if connection.features.has_native_uuid_field else value.hex


@cache
def facts_union(kind: type[Securable], more: str = "") -> str:
    """Return the SELECT of (level, privilege) over `o` and `mine`.

    `more` is what else must be true of a grant `g`.
    """
    selects = []
    for level, row in enumerate(level_models(kind)):
        grants = row._meta.get_field("grants").related_model._meta.db_table
        selects.append(
            f"SELECT {level} AS level, 'own' AS privilege FROM o"
            f" JOIN mine ON mine.id = o.owner{level}"
        )
        selects.append(
            f"SELECT {level}, p.codename FROM o JOIN {grants} g"
            f" ON g.content_object_id = o.id{level} JOIN mine ON mine.id = g.user_id"
            " JOIN auth_permission p ON p.id = g.permission_id"
            f" WHERE (g.expires_at IS NULL OR g.expires_at > %(now)s){more}"
        )
        if may_be_absent(kind, level):
            selects.append(
                f"SELECT {level}, '{ABSENT}' FROM o WHERE o.id{level} IS NULL"
            )
    return " UNION ALL ".join(selects)


def principals_of(principal: User) -> list[uuid.UUID]:
    """Return the ids of the principal and its groups, nested ones too; one query."""
    sql = f"WITH RECURSIVE {mine_cte()} SELECT id FROM mine"
    with connection.cursor() as cursor:
        cursor.execute(sql, {"user": db_uuid(principal.pk)})
        return [from_db_uuid(found) for (found,) in cursor]


def settled_principals_of(principal: User, since: dt.datetime) -> set[uuid.UUID]:
    """Return the ids of the principal and the groups that it was in at `since`."""
    sql = f"WITH RECURSIVE {_settled_cte()} SELECT id FROM mine"
    given = connection.ops.adapt_datetimefield_value(since)
    with connection.cursor() as cursor:
        cursor.execute(sql, {"user": db_uuid(principal.pk), "since": given})
        return {from_db_uuid(found) for (found,) in cursor}


def from_db_uuid(value: Any) -> uuid.UUID:
    """Return a UUID that a cursor gave as this database stores it."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
