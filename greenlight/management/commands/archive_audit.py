"""Move the old part of the audit log out of the database, into a verified file."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import DomainError
from events.archiving import archive_before


class Command(BaseCommand):
    """Write the events before a day, verify the file, then drop them.

    Refused while a webhook, a task or a sink has not got one of them yet. A call that
    was killed is finished by the next one.
    """

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--before", required=True, metavar="DATE", help="2026-01-31"
        )
        parser.add_argument("--to", type=Path, required=True, metavar="DIR")

    def handle(self, *, before: str, to: Path, **_options: Any) -> None:
        try:
            moment = dt.datetime.fromisoformat(before)
        except ValueError as error:
            raise CommandError(
                f"--before {before!r} is no date; give 2026-01-31."
            ) from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        if not to.is_dir():
            raise CommandError(f"--to {to} is no directory.")
        try:
            archive = archive_before(moment, to)
        except DomainError as error:
            raise CommandError(error.message) from error
        if archive is None:
            self.stdout.write("nothing is older")
            return
        self.stdout.write(f"{archive.full_name} in {archive.file}")
