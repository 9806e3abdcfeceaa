"""The one authorization rule: as a check of one row, and as SQL for lists.

Nobody else reads the grant tables. The rules are Unity Catalog's for models,
written down in docs/explanation/permissions.md.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Protocol

from access.facts import Fact, facts_of, settled_facts_of
from access.models import User
from access.privileges import EXCLUDED_FROM_ALL, Privilege
from access.reasons import reason
from access.rules import (
    ABSENT,
    ADMIN_HAS,
    NEEDS_NO_USE,
    POWER_OF_CONTAINER_OWNER,
    SHOWS_METADATA,
    USE,
    details_by,
    level_names,
    level_of,
    shows_by,
)
from access.securables import Securable
from core.errors import NotFound, PermissionDenied

P = Privilege


class Asker(Protocol):
    """Who asks, as far as roles go: a principal, or what was read of one."""

    @property
    def is_superuser(self) -> bool: ...

    @property
    def is_auditor(self) -> bool: ...


@dataclass(frozen=True)
class Requirement:
    """One thing that an operation needs, and whether the principal has it."""

    privilege: Privilege
    level: int
    securable_type: str
    full_name: str
    met: bool
    who_can_grant: tuple[str, ...]

    def as_reason(self) -> dict[str, Any]:
        return reason(
            self.privilege.label,
            self.securable_type,
            self.full_name,
            self.who_can_grant,
        )


def require(principal: User, privilege: Privilege, securable: Securable) -> None:
    """Let the principal through, or raise.

    One query. Raises NotFound when the principal may not know that the object
    exists, else PermissionDenied with `reasons` that say what is missing.
    """
    facts = facts_of(principal, securable)
    if not _satisfied(principal, privilege, type(securable), facts):
        raise _refusal(principal, privilege, securable, facts)


def require_visible(principal: User, securable: Securable) -> None:
    """Let a principal through that may see the object's metadata (rule P-4)."""
    facts = facts_of(principal, securable)
    if not shows_metadata(principal, type(securable), facts):
        raise _refusal(principal, P.EXECUTE, securable, facts)


def is_visible(principal: User, securable: Securable) -> bool:
    """Tell whether `require_visible` would let the principal through."""
    return shows_metadata(principal, type(securable), facts_of(principal, securable))


def require_details(principal: User, securable: Securable) -> None:
    """Let a principal through that may see more of an object than that it is there."""
    facts = facts_of(principal, securable)
    if not shows_details(principal, type(securable), facts):
        raise _refusal(principal, P.EXECUTE, securable, facts)


def is_browse_only(principal: User, securable: Securable) -> bool:
    """Tell whether all that shows an object to a principal is BROWSE (rule 9)."""
    return not shows_details(principal, type(securable), facts_of(principal, securable))


def require_known(principal: User, securable: Securable) -> None:
    """Let a principal through that may know that an object exists. Raises NotFound."""
    if hides(principal, type(securable), facts_of(principal, securable)):
        raise unknown(securable)


def is_allowed(principal: User, privilege: Privilege, securable: Securable) -> bool:
    """Tell whether `require` would let the principal through."""
    facts = facts_of(principal, securable)
    return _satisfied(principal, privilege, type(securable), facts)


def is_settled(
    principal: User, privilege: Privilege, securable: Securable, since: dt.datetime
) -> bool:
    """Tell whether a principal was let through already at `since`, as far as it shows.

    What a person gave to themselves since, or came to by joining a group, is not
    counted: four eyes outlive both.
    """
    facts = settled_facts_of(principal, securable, since)
    return _satisfied(principal, privilege, type(securable), facts)


def explain(
    principal: User, privilege: Privilege, securable: Securable
) -> list[Requirement]:
    """List every requirement of the privilege on the object, met or not."""
    facts = facts_of(principal, securable)
    chain = chain_of(securable)
    return [
        Requirement(
            privilege=needed,
            level=level,
            securable_type=str(chain[level]._meta.verbose_name),
            full_name=chain[level].full_name,
            met=has(principal, needed, level, facts),
            who_can_grant=grantors(chain[level:]),
        )
        for needed, level in _requirements(privilege, type(securable), facts)
        if chain[level]
    ]


def shows_metadata(
    principal: User, kind: type[Securable], facts: frozenset[Fact]
) -> bool:
    """Apply rule P-4 to facts that were already read."""
    return any(_satisfied(principal, p, kind, facts) for p in shows_by(kind))


def shows_details(
    principal: User, kind: type[Securable], facts: frozenset[Fact]
) -> bool:
    """Apply rule P-5 to facts that were already read: BROWSE is not enough."""
    return any(_satisfied(principal, p, kind, facts) for p in details_by(kind))


def satisfied(
    principal: Asker,
    privilege: Privilege,
    kind: type[Securable],
    facts: frozenset[Fact],
) -> bool:
    """Apply the rule to facts that a hot read fetched together with its row."""
    return _satisfied(principal, privilege, kind, facts)


def _satisfied(
    principal: Asker,
    privilege: Privilege,
    kind: type[Securable],
    facts: frozenset[Fact],
) -> bool:
    return all(
        has(principal, needed, level, facts)
        for needed, level in _requirements(privilege, kind, facts)
    )


def _requirements(
    privilege: Privilege, kind: type[Securable], facts: frozenset[Fact]
) -> list[tuple[Privilege, int]]:
    """Return what a privilege needs: itself, and USE of every container."""
    needed = [(privilege, level_of(privilege, kind))]
    if privilege in NEEDS_NO_USE:
        return needed
    if privilege in POWER_OF_CONTAINER_OWNER and any(p == P.OWN for _, p in facts):
        return needed
    uses = [
        (USE[name], level)
        for level, name in enumerate(level_names(kind))
        if name in USE and (level, ABSENT) not in facts
    ]
    return needed + [use for use in uses if use != (privilege, 0)]


def has(
    principal: Asker, privilege: Privilege, level: int, facts: frozenset[Fact]
) -> bool:
    """Tell whether a privilege is held on the container at a level, or above it."""
    if principal.is_superuser and privilege in ADMIN_HAS:
        return True
    if (level, P.OWN) in facts:
        return True
    if privilege == P.OWN:
        return False
    above = {p for at, p in facts if at >= level}
    if privilege in POWER_OF_CONTAINER_OWNER and P.OWN in above:
        return True
    return privilege in above or (
        privilege not in EXCLUDED_FROM_ALL and P.ALL_PRIVILEGES in above
    )


def _refusal(
    principal: User,
    privilege: Privilege,
    securable: Securable,
    facts: frozenset[Fact],
) -> Exception:
    if hides(principal, type(securable), facts):
        return unknown(securable).telling(operation=privilege.value)
    missing = [r for r in explain(principal, privilege, securable) if not r.met]
    wanted = ", ".join(f"{r.privilege.label} on {r.full_name}" for r in missing)
    return PermissionDenied(
        f"{principal.username} lacks {wanted}.",
        reasons=[requirement.as_reason() for requirement in missing],
    ).telling(subject=securable, operation=privilege.value)


def hides(principal: User, kind: type[Securable], facts: frozenset[Fact]) -> bool:
    """Tell whether a principal may not even know that the object exists."""
    return not kind.IS_PUBLIC and not any(
        _satisfied(principal, p, kind, facts) for p in _sees_by(kind)
    )


def unknown(securable: Securable) -> NotFound:
    """Return the answer to who may not know of an object: that there is none."""
    name = securable._meta.verbose_name
    message = f"No {name} {securable.full_name} that you may see."
    return NotFound(message).telling(subject=securable)


def _sees_by(kind: type[Securable]) -> tuple[Privilege, ...]:
    """Return the privileges whose holders know that an object of a kind exists."""
    name = level_names(kind)[0]
    if name == "catalog":
        return (*SHOWS_METADATA, P.USE_CATALOG)
    return (*shows_by(kind), P.USE_SCHEMA)


def chain_of(securable: Securable) -> list[Any]:
    """Return the object and its containers, nearest first; None for an absent one."""
    chain = []
    for path in type(securable).LEVELS:
        row: Any = securable
        for step in path.split("__") if path != "self" else ():
            row = getattr(row, step) if row else None
        chain.append(row)
    return chain


def grantors(chain: list[Any]) -> tuple[str, ...]:
    """Name who could grant what is missing on the first of a chain: all its owners.

    Ownership itself they could transfer. Holders of MANAGE are left to
    `explanations`, for they cost a query.
    """
    return tuple(dict.fromkeys(row.owner.username for row in chain if row))
