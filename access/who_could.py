"""Everybody who could do something with an object, and by which path.

Some may do it now. Others have power over the object: they could grant it to
themselves, or take ownership, and then do it. Both are answered, for a change of
hands is one step and no secret.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Q

from access.authz import satisfied
from access.explanations import Source, Teller
from access.holdings import Circles, Holdings, Who, circles_below
from access.matrix import who_of
from access.models import PrincipalKind, User
from access.operations import Operation, Role, find_operation
from access.privileges import GRANTABLE, Privilege
from access.rules import ABSENT, level_models
from access.securables import Securable
from access.ways import (
    Case,
    allows,
    delegates,
    kind_of,
    meets,
    needs_of,
    secured,
    ways_of,
)
from core.errors import InvalidParameter

P = Privilege


@dataclass(frozen=True)
class Could:
    """A principal that may do it now, or could after giving itself the right."""

    principal: str
    kind: str
    may_now: bool
    # what lets it through; without `may_now`, what gives it power over the object
    sources: tuple[Source, ...]
    # past the policy, as an admin with a reason
    by_breaking_glass: bool = False


def who_could(operation: str, thing: Any) -> list[Could]:
    """Return everybody who could do an operation on an object, by name.

    As many queries for one principal as for a million. Raises InvalidParameter
    for what anybody may do.
    """
    wanted = find_operation(operation, kind_of(thing))
    if any((Role.ANYONE, 0) in way.needs for way in wanted.ways):
        raise InvalidParameter(f"operation {operation!r}: anybody may {wanted.words}.")
    securable = secured(thing)
    holdings = Holdings([securable])
    holdings.read(Q())
    groups, people = _principals(holdings, securable, thing)
    found = [_could(wanted, thing, holdings, groups, who) for who in people]
    return [could for could in found if could]


def _principals(
    holdings: Holdings, securable: Securable, thing: Any
) -> tuple[Circles, list[Who]]:
    """Return whoever holds anything here, is in such a group, or has a role."""
    holders = {holding.holder for _, holding in holdings.on(securable)}
    groups = [who.id for who in holders if who.kind == PrincipalKind.GROUP]
    circles = circles_below(groups)
    roles = User.objects.filter(Q(is_superuser=True) | Q(is_auditor=True))
    people = {who.id: who for who in circles.known.values()}
    people.update({who.id: who for who in holders})
    people.update({user.pk: who_of(user) for user in roles})
    if thing is not securable:
        people[thing.created_by_id] = who_of(thing.created_by)
    acting = (who for who in people.values() if who.can_act)
    return circles, sorted(acting, key=lambda who: who.username)


def _could(
    operation: Operation, thing: Any, holdings: Holdings, circles: Circles, who: Who
) -> Could | None:
    securable = secured(thing)
    paths = circles.of(who.id)
    case = Case(
        who,
        type(securable),
        holdings.facts(securable, paths),
        delegates(securable),
        thing is not securable
        and thing.created_by_id == who.id
        and thing.status == "pending",
    )
    teller = Teller(holdings.chains[securable.pk], holdings.on(securable), paths)
    glass = operation.name == "move_alias" and allows(
        find_operation("break_glass", kind_of(securable)), case
    )
    if allows(operation, case):
        return Could(who.username, who.kind, True, _let(operation, case, teller), glass)
    if glass or allows(operation, reach(case)):
        return Could(who.username, who.kind, False, _power(case, teller), glass)
    return None


def _let(operation: Operation, case: Case, teller: Teller) -> tuple[Source, ...]:
    """Return what lets a principal through, the borders aside."""
    for way in ways_of(operation, case):
        if all(meets(need, case) for need in needs_of(way, case)):
            told = [teller.tell(need, case) for need in way.needs]
            return tuple(source for need in told for source in need.sources)
    return ()


def _power(case: Case, teller: Teller) -> tuple[Source, ...]:
    return teller.tell((P.MANAGE, 0), case).sources


def reach(case: Case) -> Case:
    """Return the case as it would be after the asker gave itself all that it can.

    Who has power over a securable can grant itself whatever is granted there, and
    take ownership; that may give power over the next one.
    """
    kinds = level_models(case.kind)
    facts = set(case.facts)
    while True:
        gained = {
            (level, privilege.value)
            for level, kind in enumerate(kinds)
            if (level, ABSENT) not in facts and _rules(case, kind, level, facts)
            for privilege in (*GRANTABLE[kind._meta.model_name], P.OWN)
        }
        if gained <= facts:
            return replace(case, facts=frozenset(facts))
        facts |= gained


def _rules(case: Case, kind: Any, level: int, facts: set[tuple[int, str]]) -> bool:
    """Tell whether the asker may change the grants of the container at a level."""
    seen_from_there = frozenset((at - level, p) for at, p in facts if at >= level)
    return satisfied(case.asker, P.MANAGE, kind, seen_from_there)
