"""What an alias points at, pointed at on a date, and every move in between."""

from __future__ import annotations

import datetime as dt

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_date

from access.authz import require_details
from approvals.reads import bypasses_of
from console.pages import SignedInRequest, page
from console.views.models import find_model
from core.errors import InvalidParameter, NotFound
from registry.history import moves_of_alias
from registry.models import AliasMove

PAGE_SIZE = 50


@page
def alias(
    request: SignedInRequest, catalog: str, schema: str, model: str, alias: str
) -> HttpResponse:
    """Show the moves of an alias, the latest first, or only those until a date."""
    found = find_model(request, catalog, schema, model)
    require_details(request.user, found)
    rows = moves_of_alias(found, alias)
    newest = rows.first()
    if newest is None:
        raise NotFound(f"{found.full_name} never had an alias {alias}.")
    as_of = request.GET.get("as_of", "")
    if as_of:
        rows = rows.filter(moved_at__lt=_end_of_day(as_of))
    before = request.GET.get("before", "")
    if before.isdecimal():
        rows = rows.filter(generation__lt=int(before))
    moves = list(rows[: PAGE_SIZE + 1])
    bypasses = bypasses_of([newest.alias])
    for move in [newest, *moves]:
        _attach(move, found)
        move.bypass = bypasses.get(move.generation)  # type: ignore[attr-defined]  # for the template
    context = {
        "model": found,
        "name": newest.alias.name,
        "now": newest,
        "then": moves[0] if as_of and moves else None,
        "moves": moves[:PAGE_SIZE],
        "has_more": len(moves) > PAGE_SIZE,
        "as_of": as_of,
        "today": timezone.now().date(),
    }
    return render(request, "console/alias.html", context)


def _attach(move: AliasMove, model: object) -> None:
    for version in (move.version, move.previous_version):
        if version:
            version.model = model  # type: ignore[assignment]  # the model of the alias


def _end_of_day(text: str) -> dt.datetime:
    """Return the first moment after a day in UTC. Raises InvalidParameter."""
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None:
        raise InvalidParameter("as_of: write the day as 2030-12-31.")
    return dt.datetime.combine(day, dt.time.max, tzinfo=dt.UTC)
