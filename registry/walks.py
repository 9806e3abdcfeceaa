"""The statement of a list: walk the right index, and stop when the page is full.

A page is the first rows of a few branches, each in the order of the list: the
containers that the caller sees in full, what it owns, and what it was granted. No
branch reads more rows than the page holds for each container, and in the order of
names not even that, since containers follow one another in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from access.scopes import Scopes, granted
from core import sql
from registry.filters import MODELS, VERSIONS, Kind, Wanted
from registry.models import RegisteredModel

_Range = tuple[str, str]
# With more schemas than this, their versions are so dense among all that one walk
# through all of them meets a page of theirs sooner than a look into each schema.
_MANY_SCHEMAS = 200
_FIRST, _LAST = "", "\x7f"  # before and after every name: names are ASCII


@dataclass(frozen=True, eq=False)
class What:
    """What is listed, and where its rows are.

    `r` is our row of the model, `m` MLflow's row of what is listed. A walk begins
    with the first of `tables`, a search of few models with the first of `from_model`.
    `columns` are those that a list can be sorted by, and the id.
    """

    name: str
    kind: Kind
    tables: tuple[str, ...]
    from_model: tuple[str, ...]
    condition: str
    columns: dict[str, str]
    branches: Callable[[Walk, Scopes], list[str]]


@dataclass(frozen=True)
class Walk:
    """A search that was read and checked, on its way to SQL."""

    what: What
    wanted: Wanted
    order: list[tuple[str, bool]]
    limit: int

    def order_by(self, columns: dict[str, str]) -> str:
        """Return the ORDER BY over the given expressions of the columns."""
        return ", ".join(
            sql.order_by_name(columns[key], ascending)
            if key == "name"
            else f"{columns[key]} {'ASC' if ascending else 'DESC'}"
            for key, ascending in self.order
        )

    def start_after(self, keys: Sequence[str | int]) -> None:
        """Leave out everything up to the row with these values, and that row."""
        columns, equal = self.what.columns, ""
        terms: list[str] = []
        for (key, ascending), value in zip(self.order, keys, strict=True):
            column, operator = columns[key], ">" if ascending else "<"
            parameter = f"%({self.wanted.bind(value)})s"
            if key == "name":
                beyond = sql.compare_names(column, operator, parameter)
            else:
                beyond = f"{column} {operator} {parameter}"
                if not terms:  # alone it bounds the walk of the index
                    self.wanted.conditions.append(f"{column} {operator}= {parameter}")
            terms.append(f"{equal}{beyond}")
            equal += f"{column} = {parameter} AND "
        self.wanted.conditions.append(f"({' OR '.join(f'({term})' for term in terms)})")

    def statement(self, scopes: Scopes, details: str) -> str:
        """Return the statement: the page `p` of all branches, then its details."""
        page = " UNION ".join(
            f"SELECT * FROM ({branch}) b{number}"
            for number, branch in enumerate(self.what.branches(self, scopes))
        )
        own = {key: key for key in self.what.columns}
        of_page = {key: f"p.{key}" for key in self.what.columns}
        return (
            f"WITH p AS ({page} ORDER BY {self.order_by(own)} LIMIT {self.limit})"
            f" {details} ORDER BY {self.order_by(of_page)}"
        )

    def first(self, condition: str, columns: str = "", equal: str = "") -> str:
        """Return the SELECT of the first rows, in order, that meet a condition.

        To be had from an index in this order, of rows that nearly all meet it. A
        column that is `equal` for all of them is named to PostgreSQL, so that no
        index without it will do: one might be walked to its end for such rows.
        """
        order = self.order_by(self.what.columns)
        order = f"{equal}, {order}" if equal and sql.is_postgresql() else order
        source = sql.in_order(*self.what.tables)
        found = self._matching(source, condition, columns or _columns(self.what))
        return f"{found} ORDER BY {order} LIMIT {self.limit}"

    def first_of_few(self, condition: str) -> str:
        """Return the same SELECT where few rows meet the condition.

        They are found first and sorted then: an index in the order of the list would
        be walked to its end for the last of them.
        """
        order = self.order_by({key: key for key in self.what.columns})
        source = sql.in_order(*self.what.from_model)
        found = self._matching(source, condition, _columns(self.what))
        return (
            f"WITH w AS MATERIALIZED ({found})"
            f" SELECT * FROM w ORDER BY {order} LIMIT {self.limit}"
        )

    def _matching(self, source: str, condition: str, columns: str) -> str:
        conditions = " AND ".join(
            [condition, self.what.condition, *self.wanted.conditions]
        )
        return f"SELECT {columns} FROM {source} WHERE {conditions}"

    def first_of_each(
        self, rows: str, condition: str, *, presorted: str = "", equal: str = ""
    ) -> str:
        """Return the SELECT of the first rows for every row `s` of a source.

        When the source comes in the order `presorted`, and what is found for one of
        its rows lies before what is found for the next, then PostgreSQL takes no
        more of them than it needs: it sorts the first few by what is left to sort.
        """
        by = self.order_by({key: f"w.{key}" for key in self.what.columns})
        if sql.is_postgresql():
            each = self.first(condition, equal=equal)
            each = f"SELECT w.* FROM {rows} CROSS JOIN LATERAL ({each}) w"
            by = f"{presorted}, {by}" if presorted else by
            return f"{each} ORDER BY {by} LIMIT {self.limit}"
        tables = self.what.tables
        row = f"{tables[0].split()[-1]}.rowid"
        each = (
            f"SELECT {_columns(self.what)} FROM {sql.in_order(rows, *tables)}"
            f" WHERE {row} IN ({self.first(condition, row, equal)})"
        )
        return f"SELECT w.* FROM ({each}) w ORDER BY {by} LIMIT {self.limit}"


def _columns(what: What) -> str:
    return ", ".join(f"{value} AS {key}" for key, value in what.columns.items())


def _models(walk: Walk, scopes: Scopes) -> list[str]:
    wanted, order = walk.wanted, walk.order
    if scopes.everything and order[0][0] != "name":
        return [walk.first(_within(wanted, "r.full_name"))]
    found = _overlap(_visible(scopes), _ranges_of(wanted))
    inside = (
        f"{sql.compare_names('r.full_name', '>=', 's.low')}"
        f" AND {sql.compare_names('r.full_name', '<', 's.high')}"
    )
    ascending = dict(order)["name"]
    presorted = sql.order_by_name("s.low", ascending) if order[0][0] == "name" else ""
    ranges = sql.ranges(found, ascending, wanted.bind)
    shown = walk.first_of_each(ranges, inside, presorted=presorted)
    if scopes.everything:
        return [shown]
    owned = f"r.owner_id = s.value AND {_within(wanted, 'r.full_name')}"
    return [
        shown,
        walk.first_of_each(sql.rows("principals", "uuid"), owned, equal="r.owner_id"),
        *_granted(walk, scopes),
    ]


def _versions(walk: Walk, scopes: Scopes) -> list[str]:
    wanted = walk.wanted
    names = wanted.possible_names
    if names is not None:
        visible = _visible(scopes)
        names = [name for name in names if _overlap(visible, [_point(name)])]
        named = sql.among("r.full_name", wanted.bind(sql.listed(names)))
        return [walk.first_of_few(named), *_few(walk, scopes)]
    within = _within(wanted, "m.name")
    if scopes.everything:
        return [walk.first(within)]
    in_schema = sql.schema_of("m.name")
    if len(scopes.schemas) > _MANY_SCHEMAS:
        schemas = sql.among(in_schema, wanted.bind(sql.listed(scopes.schemas)))
        shown = [walk.first(f"{schemas} AND {within}")]
    else:
        shown = _versions_in(walk, scopes.schemas, in_schema)
    shown += _versions_in(walk, scopes.catalogs, sql.catalog_of("m.name"))
    return [*shown, *_few(walk, scopes)]


def _versions_in(walk: Walk, names: tuple[str, ...], container: str) -> list[str]:
    """Return the branch of the versions within some containers, if there are any."""
    if not names:
        return []
    rows = sql.rows(walk.wanted.bind(sql.listed(names)))
    inside = f"{container} = s.value AND {_within(walk.wanted, 'm.name')}"
    return [walk.first_of_each(rows, inside, equal=container)]


def _few(walk: Walk, scopes: Scopes) -> list[str]:
    """Return the branches of versions of models that are owned or granted."""
    if scopes.everything:
        return []
    owned = f"{sql.among('r.owner_id', 'principals')} AND"
    within = _within(walk.wanted, "r.full_name")
    return [walk.first_of_few(f"{owned} {within}"), *_granted(walk, scopes)]


def _granted(walk: Walk, scopes: Scopes) -> list[str]:
    walk.wanted.parameters |= scopes.parameters
    within = _within(walk.wanted, "r.full_name")
    alone, with_use = granted(RegisteredModel)
    usable = (
        f"({sql.among(sql.catalog_of('r.full_name'), 'usable_catalogs')}"
        f" OR {sql.among(sql.schema_of('r.full_name'), 'usable_schemas')})"
    )
    return [
        walk.first_of_few(f"r.id IN ({alone}) AND {within}"),
        walk.first_of_few(f"r.id IN ({with_use}) AND {usable} AND {within}"),
    ]


def _visible(scopes: Scopes) -> list[_Range]:
    """Return the ranges of names that the caller sees in full, in order.

    `prod.` begins the names of a catalog or schema, and `/` follows on the dot.
    """
    if scopes.everything:
        return [(_FIRST, _LAST)]
    names = (*scopes.catalogs, *scopes.schemas)
    return sorted((f"{name}.", f"{name}/") for name in names)


def _ranges_of(wanted: Wanted) -> list[_Range]:
    """Return the ranges of names that can meet the conditions, in order."""
    names = wanted.possible_names
    if names is None:
        return [_beginning_with(wanted.prefix)]
    return [_point(name) for name in names]


def _within(wanted: Wanted, name: str) -> str:
    """Return the condition that a name begins with the prefix."""
    if not wanted.prefix:
        return "1 = 1"
    first, after = (wanted.bind(bound) for bound in _beginning_with(wanted.prefix))
    return (
        f"{sql.compare_names(name, '>=', f'%({first})s')}"
        f" AND {sql.compare_names(name, '<', f'%({after})s')}"
    )


def _beginning_with(prefix: str) -> _Range:
    if not prefix:
        return (_FIRST, _LAST)
    return (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def _point(name: str) -> _Range:
    return (name, f"{name}\x01")


def _overlap(left: list[_Range], right: list[_Range]) -> list[_Range]:
    """Return what two lists of disjoint ranges in order have in common."""
    common, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        start = max(left[i][0], right[j][0])
        end = min(left[i][1], right[j][1])
        if start < end:
            common.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return common


MODEL_TABLES = (
    "registry_registeredmodel r",
    "registered_models m ON m.workspace = 'default' AND m.name = r.full_name",
)


@cache
def model_walk() -> What:
    """Return how models are listed."""
    return What(
        name="models",
        kind=MODELS,
        tables=MODEL_TABLES,
        from_model=MODEL_TABLES,
        condition="1 = 1",
        columns={
            "id": "r.id",
            "name": "r.full_name",
            "last_updated_time": "COALESCE(m.last_updated_time, 0)",
        },
        branches=_models,
    )


@cache
def version_walk() -> What:
    """Return how versions are listed."""
    ours = "registry_modelversion v ON v.model_id = r.id AND v.number = m.version"
    workspace = f"{sql.unindexed('m.workspace')} = 'default'"
    return What(
        name="versions",
        kind=VERSIONS,
        tables=(
            "model_versions m",
            "registry_registeredmodel r ON r.full_name = m.name",
            ours,
        ),
        from_model=(
            "registry_registeredmodel r",
            "model_versions m ON m.workspace = 'default' AND m.name = r.full_name",
            ours,
        ),
        condition=f"{workspace} AND m.current_stage <> 'Deleted_Internal'",
        columns={
            "id": "v.id",
            "name": "m.name",
            "version": "m.version",
            "creation_time": "COALESCE(m.creation_time, 0)",
            "last_updated_time": "COALESCE(m.last_updated_time, 0)",
        },
        branches=_versions,
    )
