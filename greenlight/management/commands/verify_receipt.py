"""Check a receipt or a model-signing bundle with the public key alone."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import DomainError
from registry import signing
from registry.artifacts.manifest import differences, read_manifest
from registry.artifacts.trees import LocalTree


class Command(BaseCommand):
    """Exit with 0 when the signature holds, and the files are those that were signed.

    It asks no database and no server.
    """

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="receipt.json or model.sig")
        parser.add_argument("--key", type=Path, required=True, help="greenlight.pub")
        parser.add_argument("--model-dir", type=Path, help="the files, to be hashed")

    def handle(
        self, *, file: Path, key: Path, model_dir: Path | None, **_options: Any
    ) -> None:
        try:
            statement = signing.opened(json.loads(file.read_bytes()), key.read_bytes())
            subject = statement["subject"][0]
            if model_dir:
                _require_same_files(statement, subject["digest"]["sha256"], model_dir)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise CommandError(f"{file} cannot be read: {error}") from error
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{subject['name']}  sha256:{subject['digest']['sha256']}")
        for approval in statement["predicate"].get("approvals", []):
            people = ", ".join(
                f"{each['verdict']} by {each['person'] or 'a callback'}"
                for each in approval["decisions"]
            )
            self.stdout.write(f"{approval['alias']}: {approval['status']} ({people})")
        checked = "signature and files" if model_dir else "signature"
        self.stdout.write(f"The {checked} hold.")


def _require_same_files(
    statement: dict[str, Any], digest: str, directory: Path
) -> None:
    predicate = statement["predicate"]
    signed = (
        [{"path": r["name"], "sha256": r["digest"]} for r in predicate["resources"]]
        if statement["predicateType"] == signing.MODEL_SIGNATURE
        else predicate["version"]["files"]
    )
    found = read_manifest(LocalTree(directory))
    if problems := differences(signed, found.files):
        raise CommandError("; ".join(problems))
    if found.digest != digest:
        raise CommandError("The files hash to another digest than the signed one.")
