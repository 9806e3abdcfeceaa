"""Write the signed receipt of a version, its model-signing bundle and our public key."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals.receipts import receipt
from core.errors import DomainError
from registry import services as registry
from registry import signing


class Command(BaseCommand):
    """Three files: receipt.json (DSSE), model.sig (OpenSSF bundle), greenlight.pub."""

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("version", help="catalog.schema.model/number")
        parser.add_argument("--output", type=Path, default=Path(), help="a directory")

    def handle(self, *, version: str, output: Path, **_options: Any) -> None:
        name, _, number = version.partition("/")
        if not number.isdecimal():
            raise CommandError("Name the version as catalog.schema.model/number.")
        try:
            found = registry.get_version(registry.get_model(name), int(number))
            signed, bundle = receipt(found), signing.model_bundle(found)
        except DomainError as error:
            raise CommandError(error.message) from error
        output.mkdir(parents=True, exist_ok=True)
        files = {
            "receipt.json": json.dumps(signed),
            "model.sig": json.dumps(bundle),
            "greenlight.pub": signing.public_key(),
        }
        for file, text in files.items():
            (output / file).write_text(text)
            self.stdout.write(str(output / file))
