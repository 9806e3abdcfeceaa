"""Grant, revoke, show grants and pass ownership on, in the words of SQL."""

from __future__ import annotations

import json as jsonlib
import sys
from argparse import ArgumentParser
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from access import services as access
from access.listings import GrantLine
from access.models import PrincipalKind, User
from access.services.statements import Outcome
from access.statements import Verb
from core.errors import DomainError
from registry.services import get_metastore

_WIDTH = 140


class Command(BaseCommand):
    """Carry out all statements in one transaction, or none of them.

    GRANT privilege[, …] ON kind name TO principal [UNTIL timestamp];
    REVOKE privilege[, …] ON kind name FROM principal;
    SHOW GRANTS [principal] ON kind name;
    ALTER kind name OWNER TO principal
    """

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "statements", nargs="?", help="with ; between them; without, from stdin"
        )
        parser.add_argument("--file", metavar="FILE", type=Path, help="read them there")
        parser.add_argument(
            "--as",
            metavar="NAME",
            dest="name",
            help="who does it; else the first admin",
        )
        parser.add_argument("--json", action="store_true", help="print JSON, no tables")

    def handle(self, **options: Any) -> None:
        text = _text(options["statements"], options["file"])
        try:
            principal = _principal(options["name"])
            get_metastore()  # there before it is asked for
            outcomes = access.run_statements(text, principal=principal)
        except DomainError as error:
            raise CommandError(_refusal(error)) from error
        if options["json"]:
            content = {"outcomes": [_json(outcome) for outcome in outcomes]}
            self.stdout.write(jsonlib.dumps(content, indent=2))
            return
        self.stdout.write(_tables(outcomes))


def _text(statements: str | None, path: Path | None) -> str:
    if statements and path:
        raise CommandError("Give statements or --file, and not both.")
    if path is None:
        return sys.stdin.read() if statements is None else statements
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--file {path}: {error}.") from error


def _principal(name: str | None) -> User:
    if name:
        found = access.get_account(name)
        if not found.is_active:
            raise CommandError(f"--as {name}: this account is switched off.")
        return found
    admins = User.objects.filter(
        is_superuser=True, is_active=True, kind=PrincipalKind.USER
    )
    first = admins.order_by("date_joined", "username").first()
    if first is None:
        raise CommandError("There is no admin; run manage.py bootstrap first.")
    return first


def _refusal(error: DomainError) -> str:
    """Say what was refused, and who can grant what is missing."""
    lines = [error.message]
    for reason in error.details.get("reasons", ()):
        if who := reason.get("who_can_grant"):
            missing = f"{reason['missing']} on {reason['full_name']}"
            lines.append(f"{missing} can be granted by {', '.join(who)}.")
    return "\n".join([*lines, "Nothing was changed."])


def _json(outcome: Outcome) -> dict[str, Any]:
    statement = outcome.statement
    shown = {"grants": [_grant_json(line) for line in outcome.grants]}
    return {
        "statement": statement.verb.value,
        "place": statement.place,
        "securable_type": statement.securable_type,
        "full_name": statement.full_name,
        "principal": statement.principal,
        **({"changes": list(outcome.changes)} if not _shows(outcome) else shown),
    }


def _grant_json(line: GrantLine) -> dict[str, Any]:
    return {
        "principal": line.principal.username,
        "privilege": line.privilege.label,
        "securable_type": str(line.securable._meta.verbose_name),
        "full_name": line.securable.full_name,
        "inherited": line.is_inherited,
        "expires_at": line.expires_at.isoformat() if line.expires_at else None,
        "granted_by": line.granted_by.username,
    }


def _shows(outcome: Outcome) -> bool:
    return outcome.statement.verb == Verb.SHOW


def _tables(outcomes: list[Outcome]) -> str:
    changed = [outcome for outcome in outcomes if not _shows(outcome)]
    tables = [_shown(outcome) for outcome in outcomes if _shows(outcome)]
    if changed:
        tables.insert(0, _changed(changed))
    output = StringIO()
    console = Console(file=output, width=_WIDTH, markup=False, highlight=False)
    for table in tables:
        console.print(table)
    return output.getvalue().rstrip()


def _changed(outcomes: list[Outcome]) -> Table:
    table = _table("statement", "on", "principal", "what changed")
    for outcome in outcomes:
        statement = outcome.statement
        table.add_row(
            statement.verb.value,
            f"{statement.securable_type} {statement.full_name}",
            statement.principal,
            "\n".join(outcome.changes) or "nothing: it was so",
        )
    return table


def _shown(outcome: Outcome) -> Table:
    table = _table("principal", "privilege", "on", "until", "granted by")
    for line in outcome.grants:
        table.add_row(
            line.principal.username,
            line.privilege.label,
            f"{line.securable._meta.verbose_name} {line.securable.full_name}",
            line.expires_at.isoformat() if line.expires_at else "",
            line.granted_by.username,
        )
    statement = outcome.statement
    table.title = f"Grants on {statement.securable_type} {statement.full_name}"
    return table


def _table(*names: str) -> Table:
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    return table
