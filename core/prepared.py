"""A SELECT of the ORM that is made once, not with every request.

To make a statement with its joins costs the ORM five times what it costs to run it.
What it made is kept, and the values of a call are put where its parameters were.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, models, transaction
from django.db.models.query import get_related_populators
from django.utils import timezone

_Row = TypeVar("_Row", bound=models.Model)
_LARGEST = 2**31 - 1
# values that nothing else in a statement has
_SAMPLES: dict[type, Callable[[], Any]] = {
    int: lambda: random.getrandbits(30),  # no secret
    str: lambda: uuid.uuid4().hex,
    uuid.UUID: uuid.uuid4,
    dt.datetime: timezone.now,
}


@dataclass(frozen=True)
class _Slot:
    """The place of a value among the parameters of a statement."""

    index: int


@dataclass(frozen=True)
class _Plan:
    """What the ORM made of a queryset: its statement, and how to read a row."""

    sql: str
    parameters: tuple[Any, ...]  # a _Slot, or what is the same in every call
    converters: dict[int, tuple[list[Any], Any]]
    fields: list[str]
    start: int
    populators: list[Any]
    locks: bool


class Prepared(Generic[_Row]):
    """The rows of a queryset, for the values of its parameters.

    `make` returns the queryset from one value of each of `kinds`. They are compared
    with `=`, `<` and the like: they reach the database as they are. No annotations, no
    prefetching, no slices.
    """

    def __init__(self, make: Callable[..., Any], *kinds: type) -> None:
        self._make, self._kinds = make, kinds
        self._plan = cache(self._prepare)

    def first(self, *values: Any) -> _Row | None:
        """Return the first of the rows for these values, or None."""
        return next(iter(self.all(*values)), None)

    def all(self, *values: Any) -> list[_Row]:
        """Return the rows for these values."""
        plan = self._plan(connection.vendor)
        if plan.locks and not connection.in_atomic_block:
            raise transaction.TransactionManagementError("A lock needs a transaction.")
        if any(isinstance(value, int) and abs(value) > _LARGEST for value in values):
            return []  # as the ORM: no column holds it, and no driver takes it
        stored = [_stored(value) for value in values]
        parameters = [
            stored[each.index] if isinstance(each, _Slot) else each
            for each in plan.parameters
        ]
        with connection.cursor() as cursor:
            cursor.execute(plan.sql, parameters)
            return [self._build(plan, list(row)) for row in cursor.fetchall()]

    def _build(self, plan: _Plan, values: list[Any]) -> _Row:
        for index, (converters, expression) in plan.converters.items():
            for convert in converters:
                values[index] = convert(values[index], expression, connection)
        own = values[plan.start : plan.start + len(plan.fields)]
        row: _Row = self._model.from_db(DEFAULT_DB_ALIAS, plan.fields, own)
        for populator in plan.populators:
            populator.populate(values, row)
        return row

    def _prepare(self, _vendor: str) -> _Plan:
        samples = [_SAMPLES[kind]() for kind in self._kinds]
        rows = self._make(*samples)
        self._model = rows.model
        compiler = rows.query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        slots = {_stored(sample): _Slot(n) for n, sample in enumerate(samples)}
        known = compiler.klass_info
        chosen = known["select_fields"]
        return _Plan(
            sql=sql,
            parameters=tuple(slots.get(each, each) for each in parameters),
            converters=compiler.get_converters(
                expression for expression, *_ in compiler.select
            ),
            fields=[compiler.select[n][0].target.attname for n in chosen],
            start=chosen[0],
            populators=get_related_populators(  # type: ignore[call-arg]  # stubs of another version
                known, compiler.select, DEFAULT_DB_ALIAS
            ),
            locks=rows.query.select_for_update,
        )


def _stored(value: Any) -> Any:
    """Return a value as the database stores it: SQLite has types for few."""
    if isinstance(value, dt.datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, uuid.UUID) and not connection.features.has_native_uuid_field:
        return value.hex
    return value
