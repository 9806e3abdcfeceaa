"""The plan and the report of an adoption, as tables and as plain values."""

from __future__ import annotations

from collections import Counter
from io import StringIO
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from approvals import services as approvals
from registry.adoption.plan import Action, Plan, PlannedModel
from registry.adoption.report import Kind, Report, Result
from registry.models import Catalog, RegisteredModel, Schema

_WIDTH = 140
_LEVELS = 3


def plan(plan: Plan) -> str:
    """Return a plan as text: one line per model, then what is wrong with it."""
    table = Table(title=f"Plan for {plan.origin.address}")
    for name in ("old name", "new name", "owner", "versions", "aliases", "size", ""):
        table.add_column(name, overflow="fold")
    for model in plan.models:
        table.add_row(
            model.origin.name,
            model.target,
            model.owner.username,
            _summary(one.action for one in model.versions),
            ", ".join(_alias_texts(model)),
            decimal(sum(one.size for one in model.versions)),
            Action.ERROR.value if model.problems else model.action.value,
        )
    notes = [f"Makes the schema {name}." for name in plan.schemas]
    if plan.experiments:
        notes.append(f"Gives {len(plan.experiments)} experiments an owner.")
    notes += [f"Note: {note}." for note in _notes(plan)]
    notes += [f"ERROR: {problem}" for problem in plan.problems]
    return _text(table) + "\n".join([*notes, _verdict(plan)])


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain values."""
    return {
        "origin": plan.origin.address,
        "schemas": plan.schemas,
        "experiments": sorted(plan.experiments.values()),
        "bytes": plan.size,
        "problems": plan.problems,
        "models": [
            {
                "old_name": model.origin.name,
                "new_name": model.target,
                "owner": model.owner.username,
                "action": model.action.value,
                "versions": [
                    {
                        "number": version.origin.number,
                        "action": version.action.value,
                        "bytes": version.size,
                        "place": version.place.uri if version.place else "",
                        "problem": version.problem,
                    }
                    for version in model.versions
                ],
                "aliases": _alias_texts(model),
                "problems": model.problems,
            }
            for model in plan.models
        ],
    }


def report(report: Report) -> str:
    """Return a report as text: counts, then every line that asks for attention."""
    table = Table(title="Adoption")
    table.add_column("")
    for result in Result:
        table.add_column(result.value, justify="right")
    for kind in Kind:
        counts = [report.count(kind, result) for result in Result]
        table.add_row(f"{kind.value}s".replace("ss", "ses"), *map(str, counts))
    lines = [
        f"{result.value}: {line.kind.value} {line.name}: {line.reason}"
        for result in (Result.FAILED, Result.NEEDS_APPROVAL, Result.LEFT_OUT)
        for line in report.with_result(result)
        if line.reason
    ]
    if report.did_nothing:
        lines.append("Everything is here already; nothing was done.")
    lines.append(f"{decimal(report.bytes)} in {report.seconds:.1f} s")
    return _text(table) + "\n".join(lines)


def _verdict(plan: Plan) -> str:
    if plan.problems:
        return f"{len(plan.problems)} errors; nothing can be done before they are gone."
    if not plan.has_work:
        return "Everything is here already; there is nothing to do."
    return (
        f"{decimal(plan.size)} to copy. Nothing was written; run it without --dry-run."
    )


def _notes(plan: Plan) -> list[str]:
    left_out = [
        f"{model.origin.name}: {model.note}" for model in plan.models if model.note
    ]
    return left_out + [
        f"{model.origin.name} version {version.origin.number}: {version.problem}"
        for model in plan.models
        for version in model.versions
        if version.problem
    ]


def _summary(actions: Any) -> str:
    return ", ".join(
        f"{count} {action.value}" for action, count in Counter(actions).items()
    )


def _alias_texts(model: PlannedModel) -> list[str]:
    return [
        f"{alias.name or alias.old_name} → {alias.number} ({_fate(model, alias.name, alias.action)})"
        for alias in model.aliases
    ]


def _fate(model: PlannedModel, name: str, action: Action) -> str:
    """Say what happens to an alias; a policy may protect it."""
    future = _as_it_will_be(model.target)
    if action == Action.TAKE and future and approvals.find_policy(future, name):
        return Result.NEEDS_APPROVAL.value
    return action.value


def _as_it_will_be(full_name: str) -> RegisteredModel | None:
    """Return a model, unsaved when it is not here; None without its catalog."""
    found: RegisteredModel | None = RegisteredModel.objects.filter(
        full_name=full_name
    ).first()
    parts = full_name.split(".")
    catalog = Catalog.objects.filter(name=parts[0]).first()
    if found or catalog is None or len(parts) != _LEVELS:
        return found
    schema = Schema.objects.filter(catalog=catalog, name=parts[1]).first()
    schema = schema or Schema(catalog=catalog, name=parts[1])
    return RegisteredModel(schema=schema, name=parts[2], full_name=full_name)


def _text(table: Table) -> str:
    out = StringIO()
    Console(file=out, width=_WIDTH).print(table)
    return out.getvalue()
