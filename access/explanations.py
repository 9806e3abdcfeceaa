"""Say why a principal may, or may not, do something, and who could change that."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import Q

from access.holdings import Holding, Holdings, circles_above
from access.models import User
from access.operations import Need, Operation, find_operation
from access.privileges import EXCLUDED_FROM_ALL, Privilege
from access.reasons import reason
from access.rules import ADMIN_HAS, POWER_OF_CONTAINER_OWNER
from access.securables import Securable
from access.ways import Case, case_of, kind_of, meets, needs_of, secured, ways_of

P = Privilege
Paths = Mapping[UUID, tuple[str, ...]]


@dataclass(frozen=True)
class Source:
    """What meets a need: a grant or an ownership, where it is held, and by whom."""

    privilege: str
    securable_type: str
    full_name: str
    holder: str
    # the groups between the principal and the holder, nearest first
    through: tuple[str, ...]
    # held on a container and not on the object that needs it
    is_inherited: bool
    expires_at: dt.datetime | None


@dataclass(frozen=True)
class Needed:
    """One thing that a way needs, whether it is met, by what, or who can grant it."""

    what: str
    securable_type: str
    full_name: str
    met: bool
    sources: tuple[Source, ...]
    who_can_grant: tuple[str, ...]

    def as_reason(self) -> dict[str, Any]:
        """Return it as a refusal tells what is missing."""
        return reason(
            self.what, self.securable_type, self.full_name, self.who_can_grant
        )


@dataclass(frozen=True)
class Explanation:
    """Every way to do an operation, the one that counts first."""

    operation: Operation
    principal: str
    securable_type: str
    full_name: str
    ways: tuple[tuple[Needed, ...], ...]

    @cached_property
    def is_allowed(self) -> bool:
        return any(all(need.met for need in way) for way in self.ways)

    @property
    def requirements(self) -> tuple[Needed, ...]:
        """The needs of the way that lets through, or of the one that lacks least."""
        return self.ways[0] if self.ways else ()


def explain(principal: User, operation: str, thing: Any) -> Explanation:
    """List every need of an operation on an object, met or not.

    A met need comes with what meets it: which grant or ownership, held where, by
    whom, until when. An unmet one comes with who can grant it. `thing` is a
    securable, or a version for what is done with versions. At most six queries.
    """
    wanted = find_operation(operation, kind_of(thing))
    case = case_of(principal, thing)
    securable = secured(thing)
    teller = _teller(principal, securable)
    ways = [
        tuple(teller.tell(need, case) for need in needs_of(way, case))
        for way in ways_of(wanted, case)
    ]
    ways.sort(key=lambda way: sum(not need.met for need in way))
    return Explanation(
        operation=wanted,
        principal=principal.username,
        securable_type=str(thing._meta.verbose_name),
        full_name=thing.full_name,
        ways=tuple(ways),
    )


def _teller(principal: User, securable: Securable) -> Teller:
    paths = circles_above([principal.pk]).of(principal.pk)
    holdings = Holdings([securable])
    holdings.read(Q(user__in=list(paths)) | Q(permission__codename=P.MANAGE))
    return Teller(holdings.chains[securable.pk], holdings.on(securable), paths)


class Teller:
    """What is held on an object and its containers, told for one principal.

    `paths` are the ids that count as the principal, with the groups in between.
    """

    def __init__(
        self, chain: Any, held: list[tuple[int, Holding]], paths: Paths
    ) -> None:
        self.chain, self.held, self.paths = chain, held, paths

    def tell(self, need: Need, case: Case) -> Needed:
        what, level = need
        row = self.chain[level]
        met = meets(need, case)
        is_privilege = isinstance(what, Privilege)
        return Needed(
            what=str(what.label),
            securable_type=str(row._meta.verbose_name),
            full_name=row.full_name,
            met=met,
            sources=self._sources(need, case) if met else (),
            who_can_grant=() if met or not is_privilege else self._grantors(level),
        )

    def _sources(self, need: Need, case: Case) -> tuple[Source, ...]:
        what, level = need
        if not isinstance(what, Privilege):
            return ()
        found = [
            self._source(at, holding, level)
            for at, holding in self.held
            if holding.holder.id in self.paths and meets_by(what, level, at, holding)
        ]
        if case.asker.is_superuser and what in ADMIN_HAS:
            found.append(self._admin(level))
        return tuple(found)

    def _source(self, at: int, holding: Holding, level: int) -> Source:
        row = self.chain[at]
        return Source(
            privilege=Privilege(holding.privilege).label,
            securable_type=str(row._meta.verbose_name),
            full_name=row.full_name,
            holder=holding.holder.username,
            through=self.paths[holding.holder.id],
            is_inherited=at > level,
            expires_at=holding.expires_at,
        )

    def _admin(self, level: int) -> Source:
        row = self.chain[level]
        return Source(
            "the admin role", str(row._meta.verbose_name), row.full_name,
            "", (), False, None,
        )  # fmt: skip

    def _grantors(self, level: int) -> tuple[str, ...]:
        """Name who has power over where it is needed: owners, and holders of MANAGE."""
        power = {P.OWN, P.MANAGE}
        names = [
            holding.holder.username
            for at, holding in self.held
            if at >= level and holding.privilege in power
        ]
        return tuple(dict.fromkeys(names))


def meets_by(what: Privilege, level: int, at: int, holding: Holding) -> bool:
    """Tell whether one holding alone meets the need of a privilege at a level."""
    held = holding.privilege
    if held == P.OWN:
        return at == level or (what in POWER_OF_CONTAINER_OWNER and at > level)
    if at < level or what == P.OWN:
        return False
    return held == what or (held == P.ALL_PRIVILEGES and what not in EXCLUDED_FROM_ALL)
