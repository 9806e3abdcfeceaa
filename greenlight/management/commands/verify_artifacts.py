"""Hash the bytes of every version again, and quarantine what was changed."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.progress import track

from registry import artifacts
from registry import services as registry
from registry.models import ModelVersion, VersionStatus


class Command(BaseCommand):
    """Exit with 0 when all bytes are what was registered, with 1 when not.

    A version whose bytes differ is quarantined: no alias can point at it and nothing
    loads it. The event `model_version.tampered` tells why, once.
    """

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", nargs="?", help="catalog.schema.model; all if not")

    def handle(self, *, model: str | None, **_options: Any) -> None:
        rows = ModelVersion.objects.filter(status=VersionStatus.READY)
        if model:
            rows = rows.filter(model=registry.get_model(model))
        versions = list(rows.select_related("model").order_by("model_id", "number"))
        damaged = 0
        console = Console(stderr=True)
        for version in track(versions, "hashing", console=console, transient=True):
            problems = artifacts.verify(version)
            damaged += bool(problems)
            for problem in problems:
                self.stdout.write(f"{version.full_name}: {problem}")
            if problems:
                registry.report_tampering(version, problems)
        size = sum(version.size_bytes for version in versions)
        if damaged:
            self.stderr.write(
                f"{damaged} of {len(versions)} versions are not what was registered; "
                "they are quarantined. Register them again from a good source."
            )
            sys.exit(1)
        self.stdout.write(f"{len(versions)} versions, {size} bytes: all as registered.")
