"""Where a principal sees everything: its containers, read once for a whole list.

A list that asks every row whether it may be shown costs as much as there are rows.
The scopes cost as much as the principal has grants on catalogs and schemas; what
follows from them is the rule of `access.authz`, applied to containers.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import connection
from django.utils import timezone

from access.authz import satisfied, shows_details, shows_metadata
from access.facts import Fact, facts_parameters, from_db_uuid, mine_cte
from access.models import User
from access.privileges import GRANTABLE, Privilege
from access.rules import level_models
from access.securables import Securable
from core import sql

_NO_FACTS: frozenset[Fact] = frozenset()


@dataclass(frozen=True)
class Scopes:
    """Where a principal sees every object of one kind, and where it may use one.

    Containers are named in full and in order. `schemas` are those outside of
    `catalogs`. A grant on an object itself shows it everywhere if its privilege is
    in `shown_by`, and within the usable containers if it is in `shown_by_use`.
    """

    everything: bool
    principals: tuple[uuid.UUID, ...]
    catalogs: tuple[str, ...]
    schemas: tuple[str, ...]
    usable_catalogs: tuple[str, ...]
    usable_schemas: tuple[str, ...]
    shown_by: tuple[str, ...]
    shown_by_use: tuple[str, ...]
    # some of it, perhaps, by BROWSE alone
    browses: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of `granted`, and the usable containers."""
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        lists = {
            "principals": self.principals,
            "usable_catalogs": self.usable_catalogs,
            "usable_schemas": self.usable_schemas,
            "shown_by": self.shown_by,
            "shown_by_use": self.shown_by_use,
        }
        return {"now": now, **{key: sql.listed(of) for key, of in lists.items()}}


def scopes_of(
    principal: User, kind: type[Securable], *, in_detail: bool = False
) -> Scopes:
    """Read the scopes of a principal for a kind of object within schemas.

    Of all that it sees, or only of what it sees more of than BROWSE shows. One
    query; none for who sees everything anyway.
    """
    shows = shows_details if in_detail else shows_metadata
    if shows(principal, kind, _NO_FACTS):
        return Scopes(True, (), (), (), (), (), (), ())
    principals, held = _read(principal, kind)
    catalogs = {name: _at(2, names) for name, names in held.items() if "." not in name}
    schemas = {
        name: _at(1, names) | catalogs.get(name.split(".")[0], _NO_FACTS)
        for name, names in held.items()
        if "." in name
    }
    # what a grant on an object needs besides is asked of the rule itself
    example = {(0, Privilege.EXECUTE.value)}

    @cache  # most schemas are granted alike
    def usable(facts: frozenset[Fact]) -> bool:
        return satisfied(principal, Privilege.EXECUTE, kind, facts | example)

    @cache
    def shown(facts: frozenset[Fact]) -> bool:
        return shows(principal, kind, facts)

    full = tuple(sorted(name for name, facts in catalogs.items() if shown(facts)))
    use = _at(2, {"use_catalog"}) | _at(1, {"use_schema"})
    grantable = [p.value for p in GRANTABLE[str(kind._meta.model_name)]]
    alone = tuple(p for p in grantable if shown(_at(0, {p})))
    return Scopes(
        everything=False,
        principals=principals,
        catalogs=full,
        schemas=_outside(full, schemas, shown),
        usable_catalogs=tuple(n for n, facts in catalogs.items() if usable(facts)),
        usable_schemas=tuple(n for n, facts in schemas.items() if usable(facts)),
        shown_by=alone,
        shown_by_use=tuple(
            p for p in grantable if p not in alone and shown(use | _at(0, {p}))
        ),
        browses=any(
            shown(facts) and not shows_details(principal, kind, facts)
            for facts in catalogs.values()
        ),
    )


def _at(level: int, privileges: set[str]) -> frozenset[Fact]:
    return frozenset((level, privilege) for privilege in privileges)


def _outside(
    catalogs: tuple[str, ...],
    schemas: dict[str, frozenset[Fact]],
    shown: Callable[[frozenset[Fact]], bool],
) -> tuple[str, ...]:
    """Return the schemas that are shown, but for those of shown catalogs."""
    covered = set(catalogs)
    found = (name for name, facts in schemas.items() if shown(facts))
    return tuple(sorted(name for name in found if name.split(".")[0] not in covered))


def granted(kind: type[Securable]) -> tuple[str, str]:
    """Return two SELECTs of ids: of objects shown by a grant, and by one with USE.

    Their parameters are `Scopes.parameters`.
    """
    grants = _table_of_grants(kind)
    alone, with_use = (
        f"SELECT g.content_object_id FROM {grants} g"
        " JOIN auth_permission q ON q.id = g.permission_id"
        f" WHERE {sql.among('g.user_id', 'principals')}"
        f" AND {sql.among('q.codename', privileges)}"
        " AND (g.expires_at IS NULL OR g.expires_at > %(now)s)"
        for privileges in ("shown_by", "shown_by_use")
    )
    return alone, with_use


def _read(
    principal: User, kind: type[Securable]
) -> tuple[tuple[uuid.UUID, ...], dict[str, set[str]]]:
    """Return who counts as the principal, and its privileges by container."""
    principals: list[uuid.UUID] = []
    held: dict[str, set[str]] = defaultdict(set)
    with connection.cursor() as cursor:
        cursor.execute(_statement(kind), facts_parameters(principal))
        for container, value in cursor:
            if container:
                held[container].add(value)
            else:
                principals.append(from_db_uuid(value))
    return tuple(principals), held


@cache
def _statement(kind: type[Securable]) -> str:
    _, schema, catalog = level_models(kind)
    to_catalog = f"JOIN {catalog._meta.db_table} c ON c.id = s.catalog_id"
    selects = ["SELECT '' AS container, CAST(id AS text) AS value FROM mine"]
    for row, model, up, name in (
        ("c", catalog, "", "c.name"),
        ("s", schema, to_catalog, "c.name || '.' || s.name"),
    ):
        container = f"{model._meta.db_table} {row}"
        selects += [
            f"SELECT {name}, 'own' FROM {container} {up}"
            f" WHERE {sql.among_found(f'{row}.owner_id', 'SELECT id FROM mine')}",
            f"SELECT {name}, p.codename FROM {_table_of_grants(model)} g"
            " JOIN auth_permission p ON p.id = g.permission_id"
            f" JOIN {container} ON {row}.id = g.content_object_id {up}"
            f" WHERE {sql.among_found('g.user_id', 'SELECT id FROM mine')}"
            " AND (g.expires_at IS NULL OR g.expires_at > %(now)s)",
        ]
    return f"WITH RECURSIVE {mine_cte()} {' UNION '.join(selects)}"


def _table_of_grants(model: Any) -> str:
    table: str = model._meta.get_field("grants").related_model._meta.db_table
    return table
