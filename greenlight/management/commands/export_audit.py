"""Write a copy of the audit log, or of a part of it, as lines of JSON or as CSV."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from access.audit import FORMATS, begin_export
from core.errors import DomainError
from events.files import write_whole
from events.filters import EventFilter


class Command(BaseCommand):
    """Write to a file, or to the standard output without one.

    The file has its name when it is complete, not before. Lines stand in the order of
    `sequence`: give the last one as --after to go on. The export itself is an event.
    """

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=sorted(FORMATS), default="jsonl")
        parser.add_argument("--from", type=int, dest="first", metavar="N")
        parser.add_argument("--to", type=int, dest="last", metavar="N")
        parser.add_argument("--after", type=int, default=0, metavar="CURSOR")
        parser.add_argument("--type", default="", help="a type, or `approval.*`")
        parser.add_argument("--actor", default="")
        parser.add_argument(
            "--subject", default="", help="an id, or a name's beginning"
        )
        parser.add_argument("--output", type=Path, metavar="FILE")

    def handle(self, *, output: Path | None, **options: Any) -> None:
        names = ("type", "actor", "subject", "first", "last")
        try:
            wanted = EventFilter(**{name: options[name] for name in names})
        except DomainError as error:
            raise CommandError(error.message) from error
        lines = begin_export(
            wanted, options["format"], options["after"], principal=None
        )
        if output is None:
            sys.stdout.writelines(lines)
            return
        count = write_whole(output, lines)
        self.stdout.write(f"{count} lines in {output}")
