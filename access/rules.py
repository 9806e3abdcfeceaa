"""The rule's tables: what each privilege needs, and what shows a thing's metadata."""

from __future__ import annotations

from typing import Any

from access.privileges import Privilege
from access.securables import Securable

P = Privilege

# Ownership of a container is power over its children, not access to their data.
POWER_OF_CONTAINER_OWNER = frozenset({P.MANAGE})
NEEDS_NO_USE = frozenset({P.QUERY, P.BROWSE, P.CREATE_CATALOG})
ADMIN_HAS = frozenset(
    {P.CREATE_CATALOG, P.USE_CATALOG, P.USE_SCHEMA, P.MANAGE, P.BROWSE}
)
SHOWS_METADATA = (P.OWN, P.EXECUTE, P.APPROVE, P.MANAGE, P.BROWSE)
# Kind -> what shows it besides: the rights to its data
_SHOWS_BESIDES = {
    "pipeline": (P.RUN_TRAINING, P.RUN_SCORING),
    "dataset": (P.READ_DATASET, P.WRITE_DATASET),
    "endpoint": (P.QUERY, P.SHIFT_TRAFFIC),
}
SHOWS_EXPERIMENT = (
    P.OWN,
    P.READ_EXPERIMENT,
    P.EDIT_EXPERIMENT,
    P.MANAGE,
    P.BROWSE,
)
USE = {"catalog": P.USE_CATALOG, "schema": P.USE_SCHEMA}
# A fact about an object: it has no container at that level.
ABSENT = "absent"


def shows_by(kind: type[Securable]) -> tuple[Privilege, ...]:
    """Return the privileges whose holders see the metadata of a kind (rule P-4)."""
    name = level_names(kind)[0]
    if name == "experiment":
        return SHOWS_EXPERIMENT
    return (*SHOWS_METADATA, *_SHOWS_BESIDES.get(name, ()))


def details_by(kind: type[Securable]) -> tuple[Privilege, ...]:
    """Return the privileges whose holders see more than name, comment and tags.

    To who only browses, an object is there, and no more (rule 9).
    """
    return tuple(p for p in shows_by(kind) if p != P.BROWSE)


def level_names(kind: type[Securable]) -> tuple[str, ...]:
    own = kind._meta.model_name or ""
    return tuple(
        own if path == "self" else path.split("__")[-1] for path in kind.LEVELS
    )


def level_of(privilege: Privilege, kind: type[Securable]) -> int:
    """Return the level at which an object of a kind needs a privilege: its own.

    BROWSE is a right on the catalog, whatever in it is looked at.
    """
    names = level_names(kind)
    if privilege == P.BROWSE and "catalog" in names:
        return names.index("catalog")
    return 0


def level_models(kind: type[Securable]) -> list[Any]:
    models: list[Any] = []
    for path in kind.LEVELS:
        row: Any = kind
        for step in path.split("__") if path != "self" else ():
            row = row._meta.get_field(step).related_model
        models.append(row)
    return models


def may_be_absent(kind: type[Securable], level: int) -> bool:
    """Tell whether an object of the kind may lack its container at a level."""
    first_step = kind.LEVELS[level].split("__")[0]
    return level > 0 and bool(kind._meta.get_field(first_step).null)
