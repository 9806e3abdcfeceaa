"""Two versions of a model side by side: what differs comes first."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render

from access.models import User
from console.pages import SignedInRequest, page
from console.views.models import find_model
from console.views.versions import find_version
from console.words import size_of
from core.errors import DomainError, InvalidParameter
from registry.experiments import require_run
from registry.models import ModelVersion
from registry.signatures import columns_of
from registry.store import tracking_store


@dataclass(frozen=True)
class Line:
    """One fact of both versions; a number also with its difference."""

    name: str
    left: str
    right: str
    delta: str = ""

    @property
    def differs(self) -> bool:
        return self.left != self.right


@dataclass(frozen=True)
class Facts:
    """What is compared of a version; nothing of a run that one may not read."""

    params: dict[str, str]
    metrics: dict[str, float]
    is_readable: bool


@page
def compare(
    request: SignedInRequest, catalog: str, schema: str, model: str
) -> HttpResponse:
    """Show parameters, metrics and contents of two versions side by side."""
    found = find_model(request, catalog, schema, model)
    asked = request.GET.getlist("v")
    if len(asked) != 2 or not all(text.isdecimal() for text in asked):
        raise InvalidParameter("v: choose two versions to compare.")
    left, right = (
        find_version(request, found, number) for number in sorted(map(int, asked))
    )
    facts = [_facts_of(one, request.user) for one in (left, right)]
    context = {
        "model": found,
        "left": left,
        "right": right,
        "is_readable": all(one.is_readable for one in facts),
        "groups": [
            ("Metrics", _metrics(*(one.metrics for one in facts))),
            ("Parameters", _texts(*(one.params for one in facts))),
            ("Contents", _texts(_contents(left), _contents(right))),
        ],
    }
    return render(request, "console/compare.html", context)


def _facts_of(version: ModelVersion, person: User) -> Facts:
    if not version.mlflow_run_id:
        return Facts({}, {}, True)
    try:
        require_run(version.mlflow_run_id, principal=person)
    except DomainError:
        return Facts({}, {}, False)
    data = tracking_store().get_run(version.mlflow_run_id).data
    return Facts(dict(data.params), dict(data.metrics), True)


def _contents(version: ModelVersion) -> dict[str, str]:
    """Return files and columns of a version, each as one comparable text."""
    files = {
        f"file {file['path']}": f"{size_of(file['size'])}, {file['sha256'][:12]}"
        for file in version.manifest
    }
    columns = {
        column.name
        if column.name.startswith(column.side)
        else f"{column.side} {column.name}": column.type
        for column in columns_of(version.signature or {})
    }
    return {**columns, **files}


def _texts(left: dict[str, str], right: dict[str, str]) -> list[Line]:
    names = sorted({*left, *right})
    lines = [Line(name, left.get(name, ""), right.get(name, "")) for name in names]
    return sorted(lines, key=lambda line: not line.differs)


def _metrics(left: dict[str, float], right: dict[str, float]) -> list[Line]:
    names = sorted({*left, *right})
    lines = [_metric(name, left.get(name), right.get(name)) for name in names]
    return sorted(lines, key=lambda line: not line.differs)


def _metric(name: str, left: float | None, right: float | None) -> Line:
    said = ["" if one is None else f"{one:.6g}" for one in (left, right)]
    delta = "" if left is None or right is None else f"{right - left:+.6g}"
    return Line(name, said[0], said[1], delta)
