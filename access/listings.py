"""Who holds what on which object, for people to look at; checks use `authz`."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from access.authz import chain_of, is_allowed
from access.facts import principals_of
from access.models import User
from access.privileges import GRANTABLE, Privilege
from access.rules import USE
from access.securables import Securable, kinds_of_securables, live

# of one object a person looks at no more at a time
MOST_LINES = 500


@dataclass(frozen=True)
class GrantLine:
    """One grant: who holds what, on which object, from whom and until when."""

    principal: User
    privilege: Privilege
    securable: Securable
    is_inherited: bool
    expires_at: dt.datetime | None
    granted_by: User
    granted_at: dt.datetime

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()


def grants_on(securable: Securable, *, principal: User) -> list[GrantLine]:
    """Return the grants that bear on an object: its own, and its containers'.

    All of them for who may change grants (rule P-18), else those of the principal
    and its groups (P-19). One query for each level of the tree.
    """
    mine = None
    if not is_allowed(principal, Privilege.MANAGE, securable):
        mine = principals_of(principal)
    found: list[GrantLine] = []
    for level, row in enumerate(chain_of(securable)):
        if row is not None:
            found += _on_level(row, level, type(securable), mine)
    return found[:MOST_LINES]


def _on_level(
    row: Any, level: int, kind: type[Securable], mine: list[Any] | None
) -> list[GrantLine]:
    """Return the grants on one container, or on the object itself at level 0.

    Expired ones count no more: they are shown where they can be taken away.
    """
    grants = _grants(row.grants.all())
    if mine is not None:
        grants = grants.filter(user__in=mine)
    if level:
        grants = grants.filter(live(), permission__codename__in=inherited_by(kind))
    return [_line(grant, row, level > 0) for grant in grants[:MOST_LINES]]


def inherited_by(kind: type[Securable]) -> set[str]:
    """Return the privileges which, on a container, mean something for a kind."""
    passed = {*GRANTABLE[kind._meta.model_name or ""], *USE.values(), Privilege.BROWSE}
    return {privilege.value for privilege in passed}


def _grants(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.select_related("user__owner", "permission", "granted_by").order_by(
        "user__username", "permission__codename"
    )


def _line(grant: Any, securable: Securable, is_inherited: bool) -> GrantLine:
    return GrantLine(
        grant.user,
        Privilege(grant.permission.codename),
        securable,
        is_inherited,
        grant.expires_at,
        grant.granted_by,
        grant.granted_at,
    )


def grants_of(holder: User) -> list[GrantLine]:
    """Return what is granted to a principal itself, on whatever; one query per kind."""
    found: list[GrantLine] = []
    for kind in kinds_of_securables():
        table: Any = kind._meta.get_field("grants").related_model  # type: ignore[misc]  # each concrete kind has one
        grants = table.objects
        paths = [f"content_object__{path}" for path in kind.LEVELS if path != "self"]
        rows = _grants(grants.filter(live(), user=holder))
        rows = rows.select_related(*_RELATED, *paths)
        found += [
            _line(grant, grant.content_object, False) for grant in rows[:MOST_LINES]
        ]
    return found


_RELATED = ("user__owner", "permission", "granted_by", "content_object__owner")


def owned_by(owner: User) -> list[Securable]:
    """Return what a principal itself owns; one query per kind."""
    found: list[Securable] = []
    for kind in kinds_of_securables():
        paths = [path for path in kind.LEVELS if path != "self"]
        rows = kind.objects.filter(owner=owner).select_related("owner", *paths)
        found += rows.order_by("name")[:MOST_LINES]
    return found
