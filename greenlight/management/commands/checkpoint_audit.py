"""Sign where the audit log stands, to be kept where nobody here can change it."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import dsse
from events.checkpoints import make_checkpoint


class Command(BaseCommand):
    """Print a checkpoint as one line of JSON (DSSE), or append it to a file.

    `verify-audit --checkpoint FILE --key PUBLIC` holds the log against it, years later.
    """

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--append", type=Path, metavar="FILE")
        parser.add_argument(
            "--public-key", action="store_true", help="print the key that verifies them"
        )

    def handle(self, *, append: Path | None, public_key: bool, **_options: Any) -> None:
        if public_key:
            self.stdout.write(dsse.public_key())
            return
        checkpoint = make_checkpoint()
        if checkpoint is None:
            raise CommandError("The audit log is empty; nothing is to be signed yet.")
        line = json.dumps(checkpoint.envelope)
        if append is None:
            self.stdout.write(line)
            return
        with append.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.stdout.write(f"event {checkpoint.sequence}, appended to {append}")
