"""Encrypt the secrets at rest with the first key of the ring."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from webhooks import services


class Command(BaseCommand):
    """Encrypt every secret of a webhook with the first of GREENLIGHT_ENCRYPTION_KEYS.

    Put the new key before the old one, restart, run this, then drop the old one.
    """

    help = "encrypt the secrets of webhooks with the first encryption key"

    def handle(self, *_args: Any, **_options: Any) -> None:
        count = services.encrypt_again()
        self.stdout.write(f"The secrets of {count} webhooks have the first key.")
