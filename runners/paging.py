"""Pages of lists, by keyset: a page costs the same wherever it lies."""

from __future__ import annotations

import datetime as dt
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

from core.http import read_page_token, sign_page_token
from runners.models import Run
from runners.serializers import PageQuerySerializer

_Row = TypeVar("_Row", bound=Model)


def page_by_name(
    rows: QuerySet[_Row], query: Any, purpose: str
) -> tuple[list[_Row], str]:
    """Return a page in order of full name, and the token of the next page."""
    asked = PageQuerySerializer.read(query)
    if asked["page_token"]:
        after = read_page_token(asked["page_token"], purpose=purpose)
        rows = rows.filter(full_name__gt=after)
    found = list(rows.order_by("full_name")[: asked["max_results"] + 1])
    page = found[: asked["max_results"]]
    if len(found) == len(page):
        return page, ""
    return page, sign_page_token(page[-1].full_name, purpose=purpose)  # type: ignore[attr-defined]  # all have one


def page_of_runs(rows: QuerySet[Run], query: Any) -> tuple[list[Run], str]:
    """Return a page of runs, newest first, and the token of the next page."""
    asked = PageQuerySerializer.read(query)
    if asked["page_token"]:
        moment, last = read_page_token(asked["page_token"], purpose="runs")
        before = dt.datetime.fromisoformat(moment)
        rows = rows.filter(Q(created_at__lt=before) | Q(created_at=before, id__gt=last))
    found = list(rows.order_by("-created_at", "id")[: asked["max_results"] + 1])
    page = found[: asked["max_results"]]
    if len(found) == len(page):
        return page, ""
    key = [page[-1].created_at.isoformat(), str(page[-1].id)]
    return page, sign_page_token(key, purpose="runs")
