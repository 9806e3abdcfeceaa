"""Carry out statements about grants: all of them, or none."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from access.authz import require_known
from access.holdings import circles_above
from access.listings import GrantLine, grants_on
from access.models import User
from access.privileges import Privilege
from access.securables import Securable, find_securable
from access.services.grants import change_grants, transfer_ownership
from access.services.principals import get_principal
from access.statements import Statement, Verb, parse_statements
from access.ways import require_able
from core.errors import DomainError, InvalidParameter


@dataclass(frozen=True)
class Outcome:
    """What a statement changed, in words, or the grants that it shows."""

    statement: Statement
    changes: tuple[str, ...] = ()
    grants: tuple[GrantLine, ...] = ()


@transaction.atomic
def run_statements(text: str, *, principal: User) -> list[Outcome]:
    """Carry out statements in their order, in one transaction.

    Raises what the refused one raises, with its place in front of the message;
    then nothing is changed.
    """
    return [_run(one, principal) for one in parse_statements(text)]


def _run(statement: Statement, principal: User) -> Outcome:
    act = {Verb.SHOW: _show, Verb.ALTER: _transfer}.get(statement.verb, _change)
    try:
        securable = find_securable(statement.securable_type, statement.full_name)
        return act(statement, securable, principal)
    except DomainError as error:
        message = f"{statement.place}: {error.message}"
        raise type(error)(message, **error.details) from error


def _change(statement: Statement, securable: Securable, principal: User) -> Outcome:
    require_able(principal, "change_grants", securable)
    if statement.until and statement.until <= timezone.now():
        raise InvalidParameter("UNTIL must lie in the future.")
    holder = get_principal(statement.principal)
    before = _held(securable, holder)
    is_grant = statement.verb == Verb.GRANT
    change = {
        "principal": holder.username,
        "add": statement.privileges if is_grant else (),
        "remove": () if is_grant else statement.privileges,
        "expires_at": statement.until,
    }
    change_grants(securable, [change], principal=principal)
    after = _held(securable, holder)
    lost = [f"revoked {name}" for name in sorted(before.keys() - after.keys())]
    won = [
        f"granted {name}" + (f" until {end.isoformat()}" if end else "")
        for name, end in sorted(after.items(), key=lambda entry: entry[0])
        if name not in before or before[name] != end
    ]
    return Outcome(statement, (*lost, *won))


def _held(securable: Securable, holder: User) -> dict[str, dt.datetime | None]:
    table: Any = securable
    rows = table.grants.filter(user=holder)
    held = dict(rows.values_list("permission__codename", "expires_at"))
    return {Privilege(name).label: end for name, end in held.items()}


def _transfer(statement: Statement, securable: Securable, principal: User) -> Outcome:
    require_able(principal, "transfer_ownership", securable)
    to, before = get_principal(statement.principal), securable.owner
    transfer_ownership(securable, to, principal=principal)
    if to == before:
        return Outcome(statement)
    return Outcome(statement, (f"owner {before.username} → {to.username}",))


def _show(statement: Statement, securable: Securable, principal: User) -> Outcome:
    """Show the grants that bear on an object; those of one with its groups'."""
    require_known(principal, securable)
    lines = grants_on(securable, principal=principal)
    if not statement.principal:
        return Outcome(statement, grants=tuple(lines))
    if statement.principal != principal.username:
        require_able(principal, "see_effective", securable)
    holder = get_principal(statement.principal)
    circle = circles_above([holder.pk]).of(holder.pk)
    found = tuple(line for line in lines if line.principal.pk in circle)
    return Outcome(statement, grants=found)
