"""Walk the audit log and report every event that was edited, removed or reordered."""

from __future__ import annotations

import itertools
import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.console import Console
from rich.progress import Progress

from core import dsse
from core.errors import DomainError
from events import verification
from events.models import ChainHead, Verification
from events.verification import ChainProblem

_MOST_SHOWN = 100
_TELL_EVERY = 500


class Command(BaseCommand):
    """Exit with 0 when the log is whole, with 1 and the first bad event when not.

    A chain alone does not show that its end was cut off, nor that all of it was
    written anew: give a checkpoint that was kept elsewhere. `--file` looks at an
    archive or an export instead of the database, and needs none.
    """

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", type=int, default=1, dest="first", metavar="N")
        parser.add_argument("--to", type=int, dest="last", metavar="N")
        parser.add_argument(
            "--checkpoint", type=Path, help="checkpoints, one envelope on each line"
        )
        parser.add_argument(
            "--key", type=Path, help="the public key in PEM; else our own"
        )
        parser.add_argument("--file", type=Path, help="an archive or export in JSONL")

    def handle(self, *, first: int, last: int | None, **options: Any) -> None:
        try:
            marks = _marks(options["checkpoint"], options["key"])
            if options["file"]:
                found, count = self._in_file(options["file"], marks)
            else:
                found, count = self._in_tables(first, last, marks)
        except DomainError as error:
            raise CommandError(error.message) from error
        except (OSError, ValueError, KeyError) as error:
            raise CommandError(f"It cannot be read: {error!r}") from error
        self._tell(found, count)

    def _in_file(
        self, file: Path, marks: dict[int, str]
    ) -> tuple[list[ChainProblem], int]:
        count = 0

        def told(_: int) -> None:
            nonlocal count
            count += 1

        return list(_some(verification.verify_file(file, marks, told))), count

    def _in_tables(
        self, first: int, last: int | None, marks: dict[int, str]
    ) -> tuple[list[ChainProblem], int]:
        head = ChainHead.objects.filter(id=1).first()
        end = min(last or sys.maxsize, head.sequence if head else 0)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("verifying", total=max(end - first + 1, 0))
            found = list(
                _some(
                    verification.verify_chain(
                        first,
                        last,
                        _every(
                            lambda n: progress.update(task, completed=n - first + 1)
                        ),
                    )
                )
            )
        for sequence, text in sorted(marks.items()):
            found += verification.verify_checkpoint(sequence, text)
        _remember(first, end, found)
        return found, max(end - first + 1, 0)

    def _tell(self, found: list[ChainProblem], count: int) -> None:
        for problem in found[:_MOST_SHOWN]:
            self.stdout.write(f"event {problem.sequence}: {problem.problem}")
        if found:
            bad = min(problem.sequence for problem in found)
            many = "more than 100" if len(found) > _MOST_SHOWN else str(len(found))
            self.stderr.write(
                f"{many} problems, the first at event {bad}: the audit log is not "
                "what was written."
            )
            sys.exit(1)
        self.stdout.write(f"{count} events, an unbroken chain.")


def _some(problems: Iterator[ChainProblem]) -> Iterator[ChainProblem]:
    """Stop soon after what can be shown: a rewritten log has as many as events."""
    return itertools.islice(problems, _MOST_SHOWN + 1)


def _every(told: Callable[[int], object]) -> Callable[[int], None]:
    def now_and_then(sequence: int) -> None:
        if sequence % _TELL_EVERY == 0:
            told(sequence)

    return now_and_then


def _marks(checkpoint: Path | None, key: Path | None) -> dict[int, str]:
    """Return the hashes that the kept checkpoints say, by sequence."""
    if checkpoint is None:
        return {}
    pem = key.read_bytes() if key else dsse.public_key().encode()
    with checkpoint.open() as lines:
        envelopes = map(json.loads, filter(str.strip, lines))
        opened = verification.opened_all(envelopes, pem)
        return {said["sequence"]: said["hash"] for said in opened}


def _remember(first: int, last: int, found: list[ChainProblem]) -> None:
    """Keep the result for the page of the audit log, where the database lets us."""
    worst = f"event {found[0].sequence}: {found[0].problem}" if found else ""
    try:
        Verification.objects.create(
            first_sequence=first,
            last_sequence=last,
            problems=len(found),
            first_problem=worst[:500],
        )
    except DatabaseError:  # a replica, or an auditor's own login: nobody minds
        return
