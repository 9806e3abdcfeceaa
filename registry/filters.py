"""MLflow's search grammar as conditions of SQL.

MLflow parses the text, so what it accepts and how it complains stays its own; the
conditions apply to single rows, so that a search can walk an index and stop early.
MLflow's own statement groups all tags of all models first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.utils.search_utils import SearchModelUtils, SearchModelVersionUtils
from sqlalchemy.sql import operators

from core import sql
from core.errors import InvalidParameter
from registry.store import RegistryStore

Comparison = dict[str, Any]

_EQUALITY = ("=", "!=")
_TEXT = (*_EQUALITY, "LIKE", "ILIKE")
_NUMBERS = (*_EQUALITY, "<", "<=", ">", ">=")
_LISTS = ("IN", "NOT IN")
_LARGEST = 2**63 - 1
_LONGEST_PATTERN = 5000


@dataclass(frozen=True, eq=False)
class Kind:
    """How one kind of row is searched: its columns, and its table of tags."""

    columns: dict[str, str]
    tags: str
    parse: Callable[[str], list[Comparison]]
    parse_order: Callable[[Sequence[str]], list[Any]]
    default_order: tuple[str, ...] = ()


@dataclass
class Wanted:
    """Conditions joined by AND, and the values of their parameters.

    Besides, every name that matches begins with `prefix`, and is one of `names` if
    there are any.
    """

    conditions: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    names: frozenset[str] | None = None
    prefix: str = ""

    @property
    def possible_names(self) -> list[str] | None:
        """The only names that can match, in order; None when that is not known."""
        if self.names is None:
            return None
        return sorted(name for name in self.names if name.startswith(self.prefix))

    def bind(self, value: Any) -> str:
        """Add a parameter, and return its name."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return name

    def contain(self, kind: Kind, text: str) -> None:
        """Want a text in the name, or in the key or the value of a tag."""
        parameter = self.bind(text)
        in_tag = " OR ".join(
            sql.contains(f"t.{c}", parameter) for c in ("key", "value")
        )
        in_name = sql.contains(kind.columns["name"], parameter)
        tagged = f"EXISTS (SELECT 1 FROM {kind.tags} AND ({in_tag}))"
        self.conditions.append(f"({in_name} OR {tagged})")


MODELS = Kind(
    columns={"name": "r.full_name"},
    tags="registered_model_tags t WHERE t.workspace = 'default' AND t.name = m.name",
    parse=SearchModelUtils.parse_search_filter,
    parse_order=RegistryStore._parse_search_registered_models_order_by,
)
VERSIONS = Kind(
    columns={
        "name": "r.full_name",
        "version_number": "m.version",
        "run_id": "m.run_id",
        "source_path": "m.source",
    },
    tags=(
        "model_version_tags t WHERE t.workspace = 'default' AND t.name = m.name"
        " AND t.version = m.version"
    ),
    parse=SearchModelVersionUtils.parse_search_filter,
    parse_order=RegistryStore._parse_search_model_versions_order_by,
    default_order=("last_updated_timestamp DESC", "name ASC", "version_number DESC"),
)


def read_filter(kind: Kind, text: str) -> Wanted:
    """Return the conditions of a filter. Raises InvalidParameter for a wrong one."""
    wanted = Wanted()
    comparisons = _parse(kind, text)
    wants_prompts = RegistryStore._is_querying_prompt(comparisons)
    tags: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        if comparison["type"] == "attribute":
            _add_attribute(kind, wanted, comparison)
        elif wants_prompts or comparison["key"] != IS_PROMPT_TAG_KEY:
            tags.setdefault(comparison["key"], []).append(comparison)
    for key, of_key in tags.items():
        _add_tag(kind, wanted, key, of_key)
    if not wants_prompts:
        _exclude_prompts(kind, wanted)
    return wanted


# The clause that the stock client appends to every search is parsed once.
@lru_cache(maxsize=256)
def _parsed(kind: Kind, text: str) -> tuple[Comparison, ...]:
    return tuple(kind.parse(text))


def _parse(kind: Kind, text: str) -> list[Comparison]:
    if "\0" in text:
        raise InvalidParameter("filter holds a NUL character; leave it out.")
    try:
        return list(_parsed(kind, text))
    except MlflowException as error:
        raise InvalidParameter(error.message) from error
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        # what MLflow's parser does not expect, `name IS NULL` for one
        raise InvalidParameter(
            f"filter {text!r} cannot be read; write comparisons joined by AND."
        ) from error


def _add_attribute(kind: Kind, into: Wanted, comparison: Comparison) -> None:
    key, comparator = comparison["key"], comparison["comparator"]
    value = comparison["value"]
    column = kind.columns[key]
    if key == "version_number":
        _require(key, comparator, _NUMBERS)
        into.conditions.append(f"{column} {comparator} %({into.bind(_number(value))})s")
        return
    lists = _LISTS if key in {"name", "run_id"} else ()
    _require(key, comparator, (*_TEXT, *lists))
    if isinstance(value, str) is (comparator in _LISTS):
        raise InvalidParameter(f"filter compares {key} by {comparator} with {value!r}.")
    if key == "name" and _narrow(into, comparator, value):
        return
    if comparator in _LISTS:
        inside = sql.among(column, into.bind(sql.listed(value)))
        into.conditions.append(inside if comparator == "IN" else f"NOT ({inside})")
    else:
        _add_text(into, column, comparator, value)


def _require(key: str, comparator: str, allowed: tuple[str, ...]) -> None:
    if comparator not in allowed:
        raise InvalidParameter(
            f"filter compares {key} by {comparator}; use one of {', '.join(allowed)}."
        )


def _number(value: Any) -> int:
    try:
        number = int(value) if not isinstance(value, float) else None
    except (TypeError, ValueError):
        number = None
    if number is None:
        raise InvalidParameter(
            f"filter compares version_number with {value!r}; use a whole number."
        )
    return max(-_LARGEST, min(_LARGEST, number))


def _add_text(into: Wanted, column: str, comparator: str, value: str) -> None:
    if comparator in _EQUALITY:
        into.conditions.append(f"{column} {comparator} %({into.bind(value)})s")
        return
    if len(value) > _LONGEST_PATTERN or value.endswith("\\"):
        raise InvalidParameter(
            f"filter has a pattern of {len(value)} characters; up to "
            f"{_LONGEST_PATTERN} are allowed, and no backslash at the end."
        )
    if comparator == "ILIKE":
        column, value = f"LOWER({column})", value.lower()
    into.conditions.append(sql.like(column, into.bind(sql.like_pattern(value))))


def _narrow(into: Wanted, comparator: str, value: Any) -> bool:
    """Note which names can match at all; tell whether that says everything."""
    if comparator in {"=", "IN"}:
        names = frozenset([value] if comparator == "=" else value)
        into.names = names if into.names is None else into.names & names
    if comparator != "LIKE":
        return False
    prefix = re.split(r"[%_\\]|[^ -~]", value, maxsplit=1)[0]
    if not (prefix.startswith(into.prefix) or into.prefix.startswith(prefix)):
        return False  # nothing begins with both; the conditions say so
    into.prefix = max(into.prefix, prefix, key=len)
    return bool(value == f"{prefix}%")


def _add_tag(kind: Kind, into: Wanted, key: str, wanted: Sequence[Comparison]) -> None:
    """Require one tag of this key that passes all comparisons."""
    tag = Wanted(parameters=into.parameters)
    for comparison in wanted:
        _require(f"tag {key}", comparison["comparator"], _TEXT)
        _add_text(tag, "t.value", comparison["comparator"], comparison["value"])
    into.conditions.append(
        f"EXISTS (SELECT 1 FROM {kind.tags} AND t.key = %({into.bind(key)})s"
        f" AND {' AND '.join(tag.conditions)})"
    )


def _exclude_prompts(kind: Kind, into: Wanted) -> None:
    """Leave prompts out, as MLflow does unless the filter asks for them.

    A model is one by its tag; a version by the tag of any version of its name.
    """
    table = kind.tags.split(" ")[0]
    into.conditions.append(
        f"NOT EXISTS (SELECT 1 FROM {table} t WHERE t.workspace = 'default'"
        f" AND t.name = m.name AND t.key = '{IS_PROMPT_TAG_KEY}'"
        " AND t.value = 'true')"
    )


def read_order(kind: Kind, order_by: Sequence[str]) -> list[tuple[str, bool]]:
    """Return the columns of MLflow's table to sort by, each with: is it ascending?

    The last of them make the order total. Raises InvalidParameter.
    """
    try:
        clauses = kind.parse_order(order_by or kind.default_order)
    except MlflowException as error:
        raise InvalidParameter(error.message) from error
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise InvalidParameter(
            f"order_by {order_by!r} cannot be read; write a column and ASC or DESC."
        ) from error
    return [(c.element.key, c.modifier is operators.asc_op) for c in clauses]
