"""The fragments of SQL that PostgreSQL and SQLite spell differently.

A name sorts by its bytes here, on every database and under every collation: only
then do all names of one catalog or schema lie together in the order of names.
PostgreSQL keeps an index in that order for every unique text column (`…_like`).
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import Model


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def hold(row: Model) -> bool:
    """Keep a row from being deleted to the end of the transaction; is it still there?

    Others may hold it too, and change it. SQLite has one writer at a time anyway.
    """
    suffix = " FOR KEY SHARE" if is_postgresql() else ""
    found = type(row)._base_manager.filter(pk=row.pk).values("pk")
    statement, parameters = found.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"{statement}{suffix}", parameters)
        return cursor.fetchone() is not None


def compare_names(left: str, operator: str, right: str) -> str:
    """Return a comparison (`<`, `>`, `<=`, `>=`) of two names by their bytes."""
    return (
        f"{left} ~{operator}~ {right}"
        if is_postgresql()
        else (f"{left} {operator} {right}")
    )


def order_by_name(name: str, ascending: bool) -> str:
    """Return a term of ORDER BY that sorts names by their bytes."""
    if is_postgresql():
        return f"{name} USING {'~<~' if ascending else '~>~'}"
    return f"{name} {'ASC' if ascending else 'DESC'}"


def among(column: str, parameter: str) -> str:
    """Return the condition that a column is in a list bound by `listed`."""
    if is_postgresql():
        return f"{column} = ANY(%({parameter})s)"
    return f"{column} IN (SELECT value FROM json_each(%({parameter})s))"


def among_found(column: str, select: str) -> str:
    """Return the condition that a column is among the few rows of a SELECT.

    PostgreSQL takes an array for ten rows, and looks each up by an index; of a
    recursive query it expects hundreds, and reads the whole table to join them.
    """
    found = f"ARRAY({select})"
    return f"{column} = ANY({found})" if is_postgresql() else f"{column} IN ({select})"


def listed(values: Iterable[Any]) -> Any:
    """Return the parameter for `among` and `rows`: an array, or a list in JSON."""
    found = list(values)
    return found if is_postgresql() else json.dumps(found, default=_hex)


def _hex(value: uuid.UUID) -> str:
    return value.hex


def rows(parameter: str, kind: str = "text") -> str:
    """Return a source `s` of rows with a column `value`, from a `listed` parameter."""
    if is_postgresql():
        return f"unnest(%({parameter})s::{kind}[]) AS s(value)"
    return f"json_each(%({parameter})s) AS s"


def ranges(
    pairs: Sequence[tuple[str, str]], ascending: bool, bind: Callable[[Any], str]
) -> str:
    """Return a source `s` of rows (low, high), from pairs, by the order of low.

    PostgreSQL knows the number of rows of an array, but not of a list in JSON.
    """
    if not is_postgresql():
        columns = "json_extract(value, '$[0]') low, json_extract(value, '$[1]') high"
        return f"(SELECT {columns} FROM json_each(%({bind(json.dumps(pairs))})s)) s"
    arrays = [bind([pair[side] for pair in pairs]) for side in (0, 1)]
    source = ", ".join(f"%({array})s::text[]" for array in arrays)
    order = order_by_name("low", ascending)
    return f"(SELECT * FROM unnest({source}) AS u(low, high) ORDER BY {order}) s"


def in_order(*tables: str) -> str:
    """Return a join; each table but the first says ON what.

    SQLite, which knows nothing of how many rows there are, joins them in this order.
    """
    return (" JOIN " if is_postgresql() else " CROSS JOIN ").join(tables)


def unindexed(column: str) -> str:
    """Return a column so that SQLite looks for no index of it."""
    return column if is_postgresql() else f"+{column}"


def like(column: str, parameter: str) -> str:
    """Return a comparison that sees case; bind `like_pattern` of the pattern."""
    return f"{column} {'LIKE' if is_postgresql() else 'GLOB'} %({parameter})s"


def like_pattern(pattern: str) -> str:
    """Return a LIKE pattern as `like` takes it: SQLite's LIKE is blind to case."""
    if is_postgresql():
        return pattern
    escaped = (f"[{c}]" if c in "*?[" else c for c in pattern)
    return "".join(escaped).replace("%", "*").replace("_", "?")


def contains(column: str, parameter: str) -> str:
    """Return the condition that a text is somewhere in a column, in either case."""
    function = "strpos" if is_postgresql() else "instr"
    return f"{function}(LOWER({column}), LOWER(%({parameter})s)) > 0"


def moment(value: dt.datetime | str) -> dt.datetime:
    """Return a moment as a cursor has it: SQLite's has no zone, and is UTC."""
    moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def catalog_of(name: str) -> str:
    """Return the first level of a full name."""
    if is_postgresql():
        return f"split_part({name}, '.', 1)"
    return f"substr({name}, 1, instr({name}, '.') - 1)"


def schema_of(name: str) -> str:
    """Return the first two levels of a full name."""
    if is_postgresql():
        return f"split_part({name}, '.', 1) || '.' || split_part({name}, '.', 2)"
    rest = f"substr({name}, instr({name}, '.') + 1)"
    return f"substr({name}, 1, instr({name}, '.') + instr({rest}, '.') - 1)"


def json_object(columns: Mapping[str, str]) -> str:
    """Return a JSON object of keys and expressions."""
    function = "json_build_object" if is_postgresql() else "json_object"
    pairs = (f"'{key}', {expression}" for key, expression in columns.items())
    return f"{function}({', '.join(pairs)})"


def json_list(value: str, source: str) -> str:
    """Return a subquery: the JSON values that `SELECT … source` finds, as a list."""
    if is_postgresql():
        return f"(SELECT json_agg(j.x) FROM (SELECT {value} AS x {source}) j)"
    inner = f"SELECT json_group_array(json(j.x)) FROM (SELECT {value} AS x {source}) j"
    return f"json(({inner}))"


def as_text(value: str) -> str:
    """Return a JSON expression as text, so that no driver parses it on the way."""
    return f"({value})::text" if is_postgresql() else value
