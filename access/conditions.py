"""The same rule as a condition on lists, so that a page is one query."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q
from django.db.models.expressions import RawSQL

from access.facts import db_uuid, mine_cte
from access.models import User
from access.privileges import EXCLUDED_FROM_ALL, Privilege
from access.rules import (
    ADMIN_HAS,
    NEEDS_NO_USE,
    POWER_OF_CONTAINER_OWNER,
    USE,
    details_by,
    level_models,
    level_names,
    level_of,
    may_be_absent,
)
from access.securables import Securable, live

P = Privilege

_EVERY_ROW = Q(pk__isnull=False)  # an empty Q would vanish in an OR


@dataclass(frozen=True)
class _Asker:
    """A principal with the ids that count as it: its own and those of its groups."""

    is_admin: bool
    ids: RawSQL  # a subquery, so that the list stays one statement


def _asker(principal: User) -> _Asker:
    sql = f"WITH RECURSIVE {mine_cte()} SELECT id FROM mine"
    ids = RawSQL(sql % {"user": "%s"}, [db_uuid(principal.pk)])  # noqa: S611  # ours
    return _Asker(principal.is_superuser, ids)


def allowed_condition(
    principal: User, privilege: Privilege, kind: type[Securable]
) -> Q:
    """Return the condition that keeps the rows on which `require` would pass."""
    return _allowed(_asker(principal), privilege, kind)


def visible_condition(principal: User, kind: type[Securable]) -> Q:
    """Return the condition that keeps the rows whose metadata may be seen.

    The same as any of `shows_by`, with what they share written once.
    """
    if principal.is_superuser:
        return _EVERY_ROW
    asker = _asker(principal)
    browse = level_of(P.BROWSE, kind)
    seen = _granted_anywhere(asker, {P.BROWSE, P.ALL_PRIVILEGES}, kind, browse)
    if _is_container(kind):
        seen |= _owned_anywhere(asker, kind)
        return seen | _allowed(asker, USE[level_names(kind)[0]], kind)
    return seen | _details(asker, kind)


def detailed_condition(principal: User, kind: type[Securable]) -> Q:
    """Return the condition that keeps the rows of which more than that may be seen.

    The same as any of `details_by`; a container has no more to show.
    """
    if principal.is_superuser or _is_container(kind):
        return visible_condition(principal, kind)
    return _details(_asker(principal), kind)


def detailed_among(
    principal: User, kind: type[Securable], ids: Iterable[uuid.UUID]
) -> set[uuid.UUID]:
    """Return which of a few objects the principal sees more of than BROWSE shows."""
    if principal.is_superuser:
        return set(ids)
    rows = kind.objects.filter(pk__in=list(ids)).detailed(principal)
    return set(rows.order_by().values_list("pk", flat=True))


def _details(asker: _Asker, kind: type[Securable]) -> Q:
    data = {*details_by(kind), P.ALL_PRIVILEGES} - {P.OWN}
    granted = _uses(asker, kind) & _granted_anywhere(asker, data, kind)
    if alone := data & NEEDS_NO_USE:
        granted |= _granted_anywhere(asker, {*alone, P.ALL_PRIVILEGES}, kind)
    return _owned_anywhere(asker, kind) | granted


def _allowed(asker: _Asker, privilege: Privilege, kind: type[Securable]) -> Q:
    condition = _has_condition(asker, privilege, kind, level_of(privilege, kind))
    if privilege in NEEDS_NO_USE:
        return condition
    condition &= _uses(asker, kind)
    if privilege in POWER_OF_CONTAINER_OWNER:
        condition |= _owned_anywhere(asker, kind)
    return condition


def _uses(asker: _Asker, kind: type[Securable]) -> Q:
    """Return the condition that every container may be used."""
    condition = _EVERY_ROW
    for level, name in enumerate(level_names(kind)):
        if name in USE:
            use = _has_condition(asker, USE[name], kind, level)
            if may_be_absent(kind, level):
                use |= Q(**{f"{kind.LEVELS[level]}__isnull": True})
            condition &= use
    return condition


def _is_container(kind: type[Securable]) -> bool:
    return level_names(kind)[0] in USE


def _has_condition(
    asker: _Asker, privilege: Privilege, kind: type[Securable], level: int
) -> Q:
    if asker.is_admin and privilege in ADMIN_HAS:
        return _EVERY_ROW
    condition = Q(**{f"{_prefix(kind.LEVELS[level])}owner__in": asker.ids})
    if privilege == P.OWN:
        return condition
    names = {privilege} | (
        set() if privilege in EXCLUDED_FROM_ALL else {P.ALL_PRIVILEGES}
    )
    condition |= _granted_anywhere(asker, names, kind, level)
    if privilege in POWER_OF_CONTAINER_OWNER:
        condition |= _owned_anywhere(asker, kind)
    return condition


def _owned_anywhere(asker: _Asker, kind: type[Securable]) -> Q:
    condition = Q(pk__in=[])
    for path in kind.LEVELS:
        condition |= Q(**{f"{_prefix(path)}owner__in": asker.ids})
    return condition


def _granted_anywhere(
    asker: _Asker, privileges: set[Privilege], kind: type[Securable], level: int = 0
) -> Q:
    """Return the condition that any of the privileges is held at or above a level."""
    condition = Q(pk__in=[])
    for path, row in list(zip(kind.LEVELS, level_models(kind), strict=True))[level:]:
        grants = row._meta.get_field("grants").related_model
        granted = grants.objects.filter(
            live(), user__in=asker.ids, permission__codename__in=privileges
        )
        ids = granted.values("content_object")
        condition |= Q(**{f"{_prefix(path)}pk__in": ids})
    return condition


def _prefix(path: str) -> str:
    return "" if path == "self" else f"{path}__"
