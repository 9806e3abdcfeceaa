"""Pages by keyset: a page costs the same wherever it lies."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

from core.http import read_page_token, sign_page_token

_Row = TypeVar("_Row", bound=Model)


def page_of(
    rows: QuerySet[_Row], asked: dict[str, Any], *fields: str, purpose: str
) -> tuple[list[_Row], dict[str, str]]:
    """Return a page in the order of the fields, and `next_page_token` unless it ends.

    A field with a minus goes downwards, as in order_by(). `asked` are the fields of
    a `PageSerializer`.
    """
    if asked["page_token"]:
        key = read_page_token(asked["page_token"], purpose=purpose)
        rows = rows.filter(_after(fields, key))
    found = list(rows.order_by(*fields)[: asked["max_results"] + 1])
    page = found[: asked["max_results"]]
    if len(found) == len(page):
        return page, {}
    last = [_value(page[-1], field) for field in fields]
    return page, {"next_page_token": sign_page_token(last, purpose=purpose)}


def _after(fields: tuple[str, ...], key: list[Any]) -> Q:
    """Return the condition that a row comes after the key, field by field."""
    condition = Q(pk__in=[])
    same: dict[str, Any] = {}
    for field, value in zip(fields, key, strict=True):
        name = field.removeprefix("-")
        beyond = "lt" if field.startswith("-") else "gt"
        condition |= Q(**same, **{f"{name}__{beyond}": value})
        same[name] = value
    return condition


def _value(row: Any, field: str) -> Any:
    for step in field.removeprefix("-").split("__"):
        row = getattr(row, step)
    return row
