"""Write the pages of docs/reference that are made from the code."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from greenlight.reference import DIRECTORY, PAGES, made


class Command(BaseCommand):
    """Write them; with --check say which are out of date, and exit with 1."""

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true")

    def handle(self, *, check: bool, **_options: Any) -> None:
        changed = []
        for name in PAGES:
            path, text = DIRECTORY / name, made(name)
            if not path.exists() or path.read_text() != text:
                changed.append(name)
                if not check:
                    path.write_text(text)
        for name in changed:
            self.stdout.write(f"{name} {'is out of date' if check else 'written'}")
        if check and changed:
            self.stderr.write("Run `manage.py make-docs`.")
            sys.exit(1)
