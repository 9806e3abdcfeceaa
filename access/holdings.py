"""Who holds what, for many principals and objects at a time.

`access.facts` answers for one principal and one object in one statement, for
every request. This is the same truth the other way round, with where each right
comes from: for `explain`, `who_could` and `simulate`.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Q

from access.authz import chain_of
from access.facts import Fact, db_uuid, from_db_uuid
from access.models import PrincipalKind
from access.privileges import Privilege
from access.rules import ABSENT
from access.securables import Securable, live

Chain = Sequence[Securable | None]  # an object and its containers, nearest first

_EDGES = """
WITH RECURSIVE found(group_id, member_id) AS (
  SELECT group_id, member_id FROM access_membership WHERE {start} IN ({roots})
  UNION
  SELECT m.group_id, m.member_id FROM access_membership m
  JOIN found ON m.{start} = found.{end}
)
SELECT f.group_id, g.username, f.member_id, u.username, u.kind, u.is_active,
  u.is_superuser, u.is_auditor
FROM found f JOIN access_user g ON g.id = f.group_id
JOIN access_user u ON u.id = f.member_id
"""


@dataclass(frozen=True)
class Who:
    """A principal, as far as the rule asks about it."""

    id: uuid.UUID
    username: str
    kind: str
    is_active: bool = True
    is_superuser: bool = False
    is_auditor: bool = False

    @property
    def can_act(self) -> bool:
        """Groups hold rights, but it is their members who use them."""
        return self.is_active and self.kind != PrincipalKind.GROUP


@dataclass(frozen=True)
class Holding:
    """A grant that counts now, or the ownership, of one securable."""

    holder: Who
    privilege: str
    expires_at: dt.datetime | None = None


class Circles:
    """Who is in which groups, as far as it was read."""

    def __init__(self) -> None:
        self.known: dict[uuid.UUID, Who] = {}
        self._above: dict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)

    def add(self, member: Who, group: Who) -> None:
        self.known[member.id] = member
        self.known.setdefault(group.id, group)
        self._above[member.id].add(group.id)

    def of(self, principal: uuid.UUID) -> dict[uuid.UUID, tuple[str, ...]]:
        """Return who counts as a principal, and through which groups, nearest first."""
        paths: dict[uuid.UUID, tuple[str, ...]] = {principal: ()}
        waiting = [principal]
        while waiting:
            member = waiting.pop(0)
            for group in sorted(self._above.get(member, ()), key=self._name):
                if group not in paths:
                    paths[group] = (*paths[member], self._name(group))
                    waiting.append(group)
        return paths

    def _name(self, group: uuid.UUID) -> str:
        return self.known[group].username


def circles_above(principals: Collection[uuid.UUID]) -> Circles:
    """Read the groups that principals are in, through other groups too; one query."""
    return _circles("member_id", "group_id", principals)


def circles_below(groups: Collection[uuid.UUID]) -> Circles:
    """Read who is in groups, through other groups too; one query."""
    return _circles("group_id", "member_id", groups)


def _circles(start: str, end: str, roots: Collection[uuid.UUID]) -> Circles:
    circles = Circles()
    if not roots:
        return circles
    places = ", ".join(["%s"] * len(roots))
    with connection.cursor() as cursor:
        cursor.execute(
            _EDGES.format(start=start, end=end, roots=places),
            [db_uuid(root) for root in roots],
        )
        for group, name, member, *about in cursor.fetchall():
            username, kind, *flags = about
            circles.add(
                Who(from_db_uuid(member), username, kind, *map(bool, flags)),
                Who(from_db_uuid(group), name, PrincipalKind.GROUP),
            )
    return circles


class Holdings:
    """What is held on some objects and their containers."""

    def __init__(self, objects: Iterable[Securable]) -> None:
        self.chains: dict[uuid.UUID, Chain] = {o.pk: chain_of(o) for o in objects}
        self._held: dict[uuid.UUID, list[Holding]] = defaultdict(list)

    def read(self, condition: Q) -> None:
        """Read the grants that count now and meet a condition; one query per kind."""
        for kind, ids in self._rows_by_kind().items():
            table: Any = kind
            grants = table._meta.get_field("grants").related_model
            rows = grants.objects.filter(live(), condition, content_object__in=ids)
            for securable, privilege, expires_at, *about in rows.values_list(
                "content_object_id",
                "permission__codename",
                "expires_at",
                "user_id",
                "user__username",
                "user__kind",
                "user__is_active",
                "user__is_superuser",
                "user__is_auditor",
            ):
                holding = Holding(Who(*about), privilege, expires_at)
                self._held[securable].append(holding)

    def _rows_by_kind(self) -> dict[type[Securable], set[uuid.UUID]]:
        found: dict[type[Securable], set[uuid.UUID]] = defaultdict(set)
        for chain in self.chains.values():
            for row in chain:
                if row:
                    found[type(row)].add(row.pk)
        return found

    def on(self, securable: Securable) -> list[tuple[int, Holding]]:
        """Return all that bears on an object, with the level where it is held."""
        found = []
        for level, row in enumerate(self.chains[securable.pk]):
            if row:
                owner = Holding(_who(row.owner), Privilege.OWN)
                found += [(level, one) for one in (owner, *self._held[row.pk])]
        return found

    def facts(
        self, securable: Securable, circle: Collection[uuid.UUID]
    ) -> frozenset[Fact]:
        """Return the facts of one object for who counts as the ids of a circle."""
        facts: set[Fact] = {
            (level, ABSENT)
            for level, row in enumerate(self.chains[securable.pk])
            if row is None
        }
        for level, holding in self.on(securable):
            if holding.holder.id in circle:
                facts.add((level, holding.privilege))
        return frozenset(facts)


def _who(user: Any) -> Who:
    return Who(
        user.pk,
        user.username,
        user.kind,
        user.is_active,
        user.is_superuser,
        user.is_auditor,
    )
