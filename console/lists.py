"""Pages of lists by full name, narrowed to a schema where the address says so."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from console.pages import SignedInRequest

PAGE_SIZE = 25


def page_by_name(rows: QuerySet[Any], request: SignedInRequest) -> dict[str, Any]:
    """Return the page that the address names, for a template with `_next.html`."""
    within = request.GET.get("schema", "").strip()
    if within:
        rows = rows.filter(full_name__startswith=f"{within}.")
    rows = rows.filter(full_name__gt=request.GET.get("after", ""))
    found = list(rows.order_by("full_name")[: PAGE_SIZE + 1])
    more = len(found) > PAGE_SIZE
    return {
        "rows": found[:PAGE_SIZE],
        "within": within,
        "after": found[PAGE_SIZE - 1].full_name if more else "",
    }
