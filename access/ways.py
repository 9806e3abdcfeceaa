"""Decide about operations: which of their ways lets a principal through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from access.authz import Asker, chain_of, grantors, has, hides, unknown
from access.facts import Fact, facts_of
from access.models import User
from access.operations import Need, Operation, Role, Way, find_operation, operations_on
from access.privileges import Privilege
from access.reasons import reason
from access.rules import ABSENT, USE, level_names, level_of
from access.securables import Securable
from core.errors import PermissionDenied

_PENDING = "pending"


@dataclass(frozen=True)
class Case:
    """A principal before an object, with all that the rule asks about both."""

    asker: Asker
    kind: type[Securable]
    facts: frozenset[Fact]
    is_delegated: bool = False
    is_creator: bool = False


def is_able(principal: User, operation: str, thing: Any) -> bool:
    """Tell whether a principal may do something with an object, by its privileges.

    `thing` is a securable, or a version for what is done with versions. One query.
    """
    return allows(find_operation(operation, kind_of(thing)), case_of(principal, thing))


def require_able(principal: User, operation: str, thing: Any) -> None:
    """Let the principal through, or raise; one query.

    Raises NotFound when the principal may not know that the object exists, else
    PermissionDenied with the `reasons` of the way that lacks least.
    """
    wanted = find_operation(operation, kind_of(thing))
    case = case_of(principal, thing)
    if allows(wanted, case):
        return
    securable = secured(thing)
    if hides(principal, case.kind, case.facts):
        raise unknown(securable).telling(operation=operation)
    missing = least_missing(wanted, case)
    reasons = [reason_of(need, securable) for need in missing]
    said = ", ".join(f"{r['missing']} on {r['full_name']}" for r in reasons)
    raise PermissionDenied(
        f"{principal.username} may not {wanted.words}: lacks {said}.", reasons=reasons
    ).telling(subject=securable, operation=operation)


def allows(operation: Operation, case: Case) -> bool:
    """Tell whether one of an operation's ways lets through."""
    return any(
        all(meets(need, case) for need in needs_of(way, case))
        for way in ways_of(operation, case)
    )


def able(case: Case) -> frozenset[str]:
    """Return the names of all operations that a case allows."""
    kind = case.kind._meta.model_name or ""
    found = (one.name for one in operations_on(kind) if allows(one, case))
    return frozenset(found)


def ways_of(operation: Operation, case: Case) -> list[Way]:
    """Return the ways that are open at all, for an object of this place and kind."""
    ways = [way for way in operation.ways if _is_open(way, case)]
    if operation.by_container_owners:
        above = range(1, len(case.kind.LEVELS))
        owned = [Way(((Privilege.OWN, at),), passes_borders=False) for at in above]
        ways += [way for way in owned if _is_open(way, case)]
    return ways


def _is_open(way: Way, case: Case) -> bool:
    if way.is_delegated and not case.is_delegated:
        return False
    if way.breaks_glass and not settings.BREAK_GLASS:
        return False
    return not any((at, ABSENT) in case.facts for _, at in _own_needs(way, case))


def needs_of(way: Way, case: Case) -> list[Need]:
    """Return the needs of a way with USE of every container there is."""
    needs = _own_needs(way, case)
    if way.passes_borders:
        needs += [
            (USE[name], level)
            for level, name in enumerate(level_names(case.kind))
            if name in USE and (level, ABSENT) not in case.facts
        ]
    return list(dict.fromkeys(needs))


def _own_needs(way: Way, case: Case) -> list[Need]:
    """Return the needs of a way, each at the level where it is granted."""
    return [
        (what, level_of(what, case.kind))
        if level == 0 and isinstance(what, Privilege)
        else (what, level)
        for what, level in way.needs
    ]


def meets(need: Need, case: Case) -> bool:
    """Tell whether one need is met."""
    what, level = need
    if isinstance(what, Privilege):
        return has(case.asker, what, level, case.facts)
    return {
        Role.ADMIN: case.asker.is_superuser,
        Role.AUDITOR: case.asker.is_auditor,
        Role.ANYONE: True,
        Role.CREATOR: case.is_creator,
    }[what]


def least_missing(operation: Operation, case: Case) -> list[Need]:
    """Return what is missing on the way that lacks least; the table breaks ties."""
    missing = [
        [need for need in needs_of(way, case) if not meets(need, case)]
        for way in ways_of(operation, case)
    ]
    return min(missing, key=len, default=[(Role.ADMIN, 0)])


def reason_of(need: Need, securable: Securable) -> dict[str, Any]:
    """Say what is missing, on which object, and who can give it."""
    what, level = need
    chain = chain_of(securable)
    is_privilege = isinstance(what, Privilege)
    return reason(
        str(what.label if is_privilege else what.value),
        str(chain[level]._meta.verbose_name),
        chain[level].full_name,
        grantors(chain[level:]) if is_privilege else (),
    )


def case_of(principal: User, thing: Any) -> Case:
    """Read everything that the rule asks about a principal and an object; one query."""
    securable = secured(thing)
    return Case(
        principal,
        type(securable),
        facts_of(principal, securable),
        delegates(securable),
        thing is not securable and _is_creator(principal, thing),
    )


def kind_of(thing: Any) -> str:
    """Return the kind of a securable or a version, as the table names it."""
    name: str = thing._meta.model_name
    return name


def secured(thing: Any) -> Securable:
    """Return the securable whose grants decide: of a version, its model."""
    found: Securable = thing if isinstance(thing, Securable) else thing.model
    return found


def delegates(securable: Securable) -> bool:
    """Tell whether CREATE MODEL VERSION counts in the object's catalog."""
    return bool(getattr(chain_of(securable)[-1], "delegated_versions", False))


def _is_creator(principal: User, version: Any) -> bool:
    return bool(version.created_by_id == principal.pk and version.status == _PENDING)
