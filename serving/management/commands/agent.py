"""Run the node agent."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from serving.agent import run


class Command(BaseCommand):
    """Keep model servers and Envoy's files as the rows want them, until stopped."""

    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--keep-servers",
            action="store_true",
            help="Leave the model servers running when stopped; the next agent "
            "takes them over.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        run(keep_servers=options["keep_servers"])
