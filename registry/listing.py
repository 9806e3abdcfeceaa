"""Lists of models and versions that cost the same at a thousand and at a million.

Two statements: one reads the scopes of the caller, one walks an index through them
in the order of the list and stops when the page is full. No page is filtered
afterwards, nothing is counted. docs/explanation/performance.md explains the plans.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from operator import itemgetter
from typing import Any, Generic, TypeVar

from django.db import DataError, connection

from access.conditions import detailed_among
from access.facts import db_uuid, from_db_uuid
from access.models import User
from access.scopes import Scopes, scopes_of
from core import sql
from core.errors import InvalidParameter, unseen
from core.http import read_page_token, sign_page_token
from registry.filters import MODELS, Wanted, read_filter, read_order
from registry.models import RegisteredModel
from registry.reads import COLUMNS, VersionRow
from registry.walks import Walk, What, model_walk, version_walk

MAX_MODELS, MAX_VERSIONS = 1000, 200_000

_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Page(Generic[_Row]):
    """One page of a list; `next_page_token` is empty on the last."""

    rows: list[_Row]
    next_page_token: str


@dataclass(frozen=True)
class ModelRow:
    """A model as MLflow's wire format knows it, with what every list shows."""

    id: uuid.UUID
    name: str
    owner: str
    description: str
    creation_time: int
    last_updated_time: int
    tags: list[dict[str, str]]
    aliases: list[dict[str, str]]
    latest_versions: list[VersionRow]
    created_at: dt.datetime
    # BROWSE is all that shows it: of its versions nothing is told
    browse_only: bool = False

    @property
    def latest(self) -> int | None:
        """The number of the newest version, or None."""
        return max((version.number for version in self.latest_versions), default=None)


def list_models(
    principal: User,
    *,
    within: str = "",
    text: str = "",
    after: str = "",
    limit: int = 100,
) -> list[ModelRow]:
    """Return the models and prompts that the principal may see, by name.

    Only those of the catalog or schema `within`, only those with `text` in their
    name or in a tag, and only those that follow the name `after`.
    """
    walk = Walk(model_walk(), Wanted(), read_order(MODELS, ()), limit)
    if within:
        walk.wanted.prefix = f"{within}."
    if text:
        walk.wanted.contain(MODELS, text)
    if after:
        walk.start_after([after])
    return _model_rows(*_read(walk, principal), principal)


def model_as_listed(model: RegisteredModel) -> ModelRow:
    """Return a model with its newest READY version, whoever may see them."""
    only = "SELECT id, full_name AS name, 0 AS last_updated_time"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH p AS ({only} FROM registry_registeredmodel WHERE id = %s"  # our own
            f" AND deleted_at IS NULL) {_model_details(_OF_READY)}",
            [db_uuid(model.pk)],
        )
        names = [column[0] for column in cursor.description]
        row = cursor.fetchone()
    if row is None:
        raise unseen("model", model.full_name)
    return _model_row(dict(zip(names, row, strict=True)))


def search_models(
    principal: User,
    *,
    filter_string: str = "",
    order_by: Sequence[str] = (),
    page_token: str = "",
    max_results: int = 100,
) -> Page[ModelRow]:
    """Return a page of the models that the principal may see, in MLflow's grammar.

    Raises InvalidParameter for a wrong filter, order, token or number of results.
    """
    _check_size(max_results, MAX_MODELS)
    walk = _walk(model_walk(), filter_string, order_by, max_results + 1)
    purpose = _continue(walk, page_token, filter_string, order_by)
    rows, scopes = _read(walk, principal)
    shown = _model_rows(rows[:max_results], scopes, principal)
    return Page(shown, _next_token(walk, rows, purpose))


def search_versions(
    principal: User,
    *,
    filter_string: str = "",
    order_by: Sequence[str] = (),
    page_token: str = "",
    max_results: int = 10_000,
) -> Page[VersionRow]:
    """Return a page of versions of visible models, the last updated first.

    Raises InvalidParameter for a wrong filter, order, token or number of results.
    """
    _check_size(max_results, MAX_VERSIONS)
    walk = _walk(version_walk(), filter_string, order_by, max_results + 1)
    purpose = _continue(walk, page_token, filter_string, order_by)
    rows, _ = _read(walk, principal)
    shown = [_version_row(row) for row in rows[:max_results]]
    return Page(shown, _next_token(walk, rows, purpose))


def _check_size(max_results: int, largest: int) -> None:
    if not 1 <= max_results <= largest:
        raise InvalidParameter(f"max_results must be between 1 and {largest}.")


def _walk(what: What, filter_string: str, order_by: Sequence[str], limit: int) -> Walk:
    conditions = read_filter(what.kind, filter_string)
    return Walk(what, conditions, read_order(what.kind, order_by), limit)


def _continue(
    walk: Walk, page_token: str, filter_string: str, order_by: Sequence[str]
) -> str:
    """Start after the row that a token names; return the purpose of the next one.

    A token continues the search that it came from and no other: its signature
    covers the filter and the order. It says nothing of who asks.
    """
    asked = json.dumps([filter_string, list(order_by)])
    digest = hashlib.sha256(asked.encode()).hexdigest()
    purpose = f"{walk.what.name}:{digest}"
    if page_token:
        walk.start_after(read_page_token(page_token, purpose=purpose))
    return purpose


def _next_token(walk: Walk, rows: list[dict[str, Any]], purpose: str) -> str:
    if len(rows) < walk.limit:
        return ""
    last = rows[-2]  # one more was read than is shown
    return sign_page_token(
        [last[f"by_{key}"] for key, _ in walk.order], purpose=purpose
    )


def _read(walk: Walk, principal: User) -> tuple[list[dict[str, Any]], Scopes]:
    """Run the two statements, and return the rows of the page by column."""
    of_models = walk.what is model_walk()
    scopes = scopes_of(principal, RegisteredModel, in_detail=not of_models)
    details = _model_details() if of_models else _version_details()
    statement = walk.statement(scopes, details)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, walk.wanted.parameters)
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except DataError as error:
        raise InvalidParameter(f"filter cannot be compared: {error}") from error
    return rows, scopes


# --- what is read of the rows of a page ----------------------------------------------


_OF_READY = "AND x.status = 'READY'"


@cache
def _model_details(condition: str = "") -> str:
    """Return the SELECT of all that a page shows, tags, aliases and latest versions.

    The latest versions are one per stage, as MLflow has it, of those that meet a
    condition.
    """
    of_version = "v.model_id = r.id AND v.number = m.version"
    tables = sql.in_order(
        "model_versions m", f"registry_modelversion v ON {of_version}"
    )
    latest = (
        f"FROM {tables} WHERE m.workspace = 'default' AND m.name = p.name AND m.version IN ("
        "SELECT MAX(x.version) FROM model_versions x WHERE x.workspace = 'default'"
        " AND x.name = p.name AND x.current_stage <> 'Deleted_Internal'"
        f" {condition} GROUP BY x.current_stage)"
    )
    columns = {
        **{column.split(".")[1]: column for column in COLUMNS},
        "tags": _version_tags(),
        "aliases": _version_aliases(),
    }
    shown = sql.in_order(
        "p",
        "registry_registeredmodel r ON r.id = p.id",
        "access_user u ON u.id = r.owner_id",
        "registered_models m ON m.workspace = 'default' AND m.name = p.name",
    )
    return (
        "SELECT r.id, p.name, p.name AS by_name, r.created_at,"
        " p.last_updated_time AS by_last_updated_time, u.username AS owner,"
        " m.description, m.creation_time, m.last_updated_time,"
        f" {sql.as_text(_model_tags())} AS tags,"
        f" {sql.as_text(_model_aliases())} AS aliases,"
        f" {sql.as_text(sql.json_list(sql.json_object(columns), latest))} AS latest"
        f" FROM {shown}"
    )


@cache
def _version_details() -> str:
    """Return the SELECT of all that a page of versions shows."""
    shown = sql.in_order(
        "p",
        "registry_modelversion v ON v.id = p.id",
        "model_versions m ON m.workspace = 'default' AND m.name = p.name"
        " AND m.version = p.version",
    )
    return (
        "SELECT p.name, p.name AS by_name, p.version AS by_version,"
        " p.creation_time AS by_creation_time,"
        f" p.last_updated_time AS by_last_updated_time, v.model_id, {', '.join(COLUMNS)},"
        f" {sql.as_text(_version_tags())} AS tags,"
        f" {sql.as_text(_version_aliases())} AS aliases"
        f" FROM {shown}"
    )


def _model_tags() -> str:
    pair = sql.json_object({"key": "t.key", "value": "t.value"})
    return sql.json_list(
        pair,
        "FROM registered_model_tags t WHERE t.workspace = 'default'"
        " AND t.name = p.name",
    )


def _model_aliases() -> str:
    pair = sql.json_object({"alias": "a.alias", "version": "a.version"})
    return sql.json_list(
        pair,
        "FROM registered_model_aliases a WHERE a.workspace = 'default'"
        " AND a.name = p.name",
    )


def _version_tags() -> str:
    pair = sql.json_object({"key": "t.key", "value": "t.value"})
    return sql.json_list(
        pair,
        "FROM model_version_tags t WHERE t.workspace = 'default'"
        " AND t.name = m.name AND t.version = m.version",
    )


def _version_aliases() -> str:
    name = sql.json_object({"name": "a.alias"})
    return sql.json_list(
        name,
        "FROM registered_model_aliases a WHERE a.workspace = 'default'"
        " AND a.name = m.name AND a.version = m.version",
    )


def _model_rows(
    rows: list[dict[str, Any]], scopes: Scopes, principal: User
) -> list[ModelRow]:
    """Render models; of one that is only browsed, without its versions.

    A third statement asks which these are, of who browses anything at all.
    """
    shown = [_model_row(row) for row in rows]
    if not scopes.browses:
        return shown
    ids = [row.id for row in shown]
    detailed = detailed_among(principal, RegisteredModel, ids)
    return [
        row
        if row.id in detailed
        else replace(row, aliases=[], latest_versions=[], browse_only=True)
        for row in shown
    ]


def _model_row(row: dict[str, Any]) -> ModelRow:
    model_pk = from_db_uuid(row["id"])
    return ModelRow(
        id=model_pk,
        name=row["name"],
        owner=row["owner"],
        description=row["description"] or "",
        creation_time=row["creation_time"],
        last_updated_time=row["last_updated_time"],
        tags=_sorted(json.loads(row["tags"] or "[]"), "key"),
        aliases=_sorted(json.loads(row["aliases"] or "[]"), "alias"),
        latest_versions=[
            _version(row["name"], model_pk, latest)
            for latest in _sorted(json.loads(row["latest"] or "[]"), "number")
        ],
        created_at=sql.moment(row["created_at"]),
    )


def _version_row(row: dict[str, Any]) -> VersionRow:
    lists = {key: json.loads(row[key] or "[]") for key in ("tags", "aliases")}
    return _version(row["name"], from_db_uuid(row["model_id"]), {**row, **lists})


def _version(name: str, model_pk: uuid.UUID, values: dict[str, Any]) -> VersionRow:
    fields = {column.split(".")[1]: values[column.split(".")[1]] for column in COLUMNS}
    return VersionRow(
        id=from_db_uuid(fields.pop("id")),
        model_pk=model_pk,
        name=name,
        number=fields.pop("number"),
        is_tampered=fields.pop("tampered_at") is not None,
        fields=fields,
        tags=_sorted(values["tags"] or [], "key"),
        aliases=sorted(alias["name"] for alias in values["aliases"] or []),
    )


def _sorted(values: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Sort what was aggregated: ORDER BY inside leads SQLite to another index."""
    return sorted(values, key=itemgetter(key))
