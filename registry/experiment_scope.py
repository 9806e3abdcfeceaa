"""Which experiments MLflow's own search may find, while one principal searches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import sqlalchemy
from django.db.models import IntegerField
from django.db.models.functions import Cast

from access.models import User
from registry.models import Experiment

_reader: ContextVar[User | None] = ContextVar("reader", default=None)


@contextmanager
def reading_as(principal: User) -> Iterator[None]:
    """Let searches of the tracking store find what the principal may see."""
    token = _reader.set(principal)
    try:
        yield
    finally:
        _reader.reset(token)


def visible_experiments() -> list[Any]:
    """Return the WHERE clauses for a search of experiments; none outside a request."""
    principal = _reader.get()
    if principal is None:
        return []
    visible = Experiment.objects.visible(principal).annotate(
        number=Cast("experiment_id", IntegerField())
    )
    sql, parameters = visible.values("number").query.sql_with_params()
    names = [f"visible_{index}" for index in range(len(parameters))]
    marks = (f":{name}" for name in names)
    statement = "".join(part + next(marks, "") for part in sql.split("%s"))
    clause = sqlalchemy.text(f"experiments.experiment_id IN ({statement})")
    return [clause.bindparams(**dict(zip(names, parameters, strict=True)))]
