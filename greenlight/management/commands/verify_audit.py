"""Walk the audit log and report every event that was edited, removed or reordered."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from events.models import ChainHead
from events.services import verify_chain


class Command(BaseCommand):
    """Exit with 0 when the chain is whole, with 1 when it is not."""

    help = __doc__ or ""
    requires_system_checks = []

    def handle(self, **_options: Any) -> None:
        problems = 0
        for problem in verify_chain():
            problems += 1
            self.stdout.write(f"event {problem.sequence}: {problem.problem}")
        if problems:
            self.stderr.write(
                f"{problems} problems: the audit log is not what was written."
            )
            sys.exit(1)
        head = ChainHead.objects.filter(id=1).first()
        count = head.sequence if head else 0
        self.stdout.write(f"{count} events, an unbroken chain.")
