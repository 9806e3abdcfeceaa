"""Take over an existing MLflow registry: names, versions, aliases, tags, bytes."""

from __future__ import annotations

import contextlib
import fcntl
import json as jsonlib
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from access.models import PrincipalKind, User
from approvals import services as approvals
from core.errors import InvalidParameter
from greenlight import adoption_tables as tables
from registry.adoption.execution import Run, Watch, carry_out
from registry.adoption.mapping import Mapping, read_mapping
from registry.adoption.origins import Origin, OriginError
from registry.adoption.plan import Choices, Plan, Unreadable, make_plan
from registry.adoption.report import Report, Result
from registry.adoption.rows import unowned_experiments
from registry.adoption.servers import ServerOrigin
from registry.adoption.stores import InPlaceOrigin, StoreOrigin, is_own_database
from registry.models import IN_PLACE, Alias, ModelVersion, RegisteredModel


class Command(BaseCommand):
    """Exit with 0 when all is here, with 1 when something is wrong or failed.

    Nothing is written before the whole plan is free of errors. Run it again
    after it was cut off, or later: what is here already stays as it is.
    """

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "origin",
            help="sqlite:///… or postgresql://… (read only), http(s)://… of an MLflow "
            "server, or `this` for MLflow's rows in Greenlight's own database",
        )
        parser.add_argument(
            "--into",
            required=True,
            metavar="CATALOG.SCHEMA",
            help="for every model that the mapping does not name",
        )
        parser.add_argument(
            "--map", metavar="FILE", type=Path, help="YAML: from, to, owner"
        )
        parser.add_argument("--owner", help="of what no rule gives away; else --admin")
        parser.add_argument(
            "--admin", help="who does it; needed when there are several"
        )
        parser.add_argument(
            "--artifacts",
            metavar="DIRECTORY|URL",
            default="",
            help="where the origin's mlflow-artifacts:/ leads",
        )
        parser.add_argument(
            "--unreadable",
            choices=[choice.value for choice in Unreadable],
            default=Unreadable.REFUSE.value,
            help="versions without readable files: refuse to begin, take them over as "
            "failed, or skip them",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="print the plan only"
        )
        parser.add_argument("--json", action="store_true", help="print JSON, no tables")
        parser.add_argument(
            "--report", metavar="FILE", type=Path, help="write the report as JSON"
        )

    def handle(self, **options: Any) -> None:
        admin = _admin(options["admin"])
        owner = _principal(options["owner"]) if options["owner"] else admin
        mapping = _mapping(options["map"], options["into"])
        choices = Choices(mapping, owner, Unreadable(options["unreadable"]))
        try:
            with _alone(dry_run=options["dry_run"]):
                self._adopt(_origin(options), choices, admin, options)
        except OriginError as error:
            raise CommandError(str(error)) from error

    def _adopt(
        self, origin: Origin, choices: Choices, admin: User, options: dict[str, Any]
    ) -> None:
        plan = self._plan(origin, choices)
        if options["dry_run"]:
            self._print(options, tables.plan_json(plan), tables.plan(plan))
            if plan.problems:
                sys.exit(1)
            return
        if plan.problems:
            raise CommandError(
                "Nothing was written; the plan has errors:\n- "
                + "\n- ".join(plan.problems)
            )
        report = self._carry_out(plan, choices.owner, admin)
        content = {"origin": origin.address, **report.as_json()}
        if options["report"]:
            options["report"].write_text(jsonlib.dumps(content, indent=2) + "\n")
        self._print(options, content, tables.report(report))
        if report.with_result(Result.FAILED):
            sys.exit(1)

    def _plan(self, origin: Origin, choices: Choices) -> Plan:
        with Progress(console=_console(), transient=True) as progress:
            task = progress.add_task("Looking at the versions", total=None)

            def looked(done: int, of: int) -> None:
                progress.update(task, completed=done, total=of)

            plan = make_plan(origin, choices, looked=looked)
        if origin.address == IN_PLACE:
            plan.experiments = unowned_experiments()
        return plan

    def _carry_out(self, plan: Plan, owner: User, admin: User) -> Report:
        def set_alias(
            model: RegisteredModel, name: str, version: ModelVersion
        ) -> Alias | None:
            return approvals.adopt_alias(
                model, name, version, adopted_from=plan.origin.address, principal=admin
            )

        with _bar(_console()) as progress:
            task = progress.add_task("Taking over", total=plan.size)
            watch = Watch(
                got=lambda size: progress.advance(task, size),
                began=lambda name: progress.update(task, description=name),
            )
            return carry_out(Run(plan, owner, admin, set_alias, watch))

    def _print(self, options: dict[str, Any], content: Any, table: str) -> None:
        text = jsonlib.dumps(content, indent=2) if options["json"] else table
        self.stdout.write(text)


def _console() -> Console:
    """Progress goes to stderr, so that stdout is the plan or the report alone."""
    return Console(stderr=True)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _origin(options: dict[str, Any]) -> Origin:
    url, artifacts = options["origin"], options["artifacts"]
    if url.startswith(("http://", "https://")):
        return ServerOrigin(url, artifacts)
    if url != IN_PLACE and not is_own_database(url):
        return StoreOrigin(url, artifacts)
    if options["unreadable"] == Unreadable.SKIP.value:
        raise CommandError(
            "In place, versions cannot be skipped: their rows are here. Use "
            "--unreadable fail."
        )
    return InPlaceOrigin(artifacts)


def _mapping(path: Path | None, into: str) -> Mapping:
    try:
        return read_mapping(path.read_text() if path else "", into)
    except OSError as error:
        raise CommandError(f"--map {path}: {error.strerror}.") from error
    except InvalidParameter as error:
        raise CommandError(error.message) from error


def _admin(name: str | None) -> User:
    admins = User.objects.filter(
        is_superuser=True, is_active=True, kind=PrincipalKind.USER
    )
    if name:
        admins = admins.filter(username=name)
    found = list(admins[:2])
    if not found:
        raise CommandError(
            f"{name} is no admin." if name else "Run manage.py bootstrap first."
        )
    if len(found) > 1:
        raise CommandError("There are several admins; say with --admin who you are.")
    return found[0]


def _principal(name: str) -> User:
    found = User.objects.filter(username=name, is_active=True).first()
    if found is None:
        raise CommandError(f"--owner {name}: there is no such principal.")
    return found


@contextlib.contextmanager
def _alone(*, dry_run: bool) -> Iterator[None]:
    """Keep out a second adoption into the same home; a dry run may run beside it."""
    if dry_run:
        yield
        return
    with (settings.HOME / "adopt.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandError("Another adoption runs; wait for its end.") from error
        yield
