"""Remove the bytes that no version needs."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registry.artifacts.retention import leftovers


class Command(BaseCommand):
    """Never removes bytes of a version that exists, nor bytes that no row knows."""

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only say what would be removed"
        )
        parser.add_argument(
            "--grace-days",
            type=float,
            default=7.0,
            help="how long the bytes of a deleted version are kept (7)",
        )

    def handle(self, *, dry_run: bool, grace_days: float, **_options: Any) -> None:
        if grace_days < 0:
            raise CommandError("--grace-days must not be negative.")
        freed = 0
        for leftover in leftovers(dt.timedelta(days=grace_days)):
            size = leftover.size_bytes
            words = (
                "kept" if not leftover.is_known else "would go" if dry_run else "gone"
            )
            self.stdout.write(
                f"{words}  {size:>12}  {leftover.tree.location}: {leftover.reason}"
            )
            if leftover.is_known:
                freed += size
                if not dry_run:
                    leftover.tree.remove()
        self.stdout.write(f"{freed} bytes {'would be' if dry_run else 'were'} freed.")
