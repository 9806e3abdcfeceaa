"""The page of operations, from the table that decides them."""

from __future__ import annotations

from access.operations import OPERATIONS, Operation
from access.privileges import GRANTABLE
from greenlight.reference.markdown import code, table

_NAMES = {"registeredmodel": "model", "modelversion": "version"}

_INTRODUCTION = """\
# Operations

What people do, and what it needs. *B* is the USE of every container: USE CATALOG and USE SCHEMA. The owner of an object
has every privilege on it, but not on what is inside. One way of several is enough. Ask for the reason in a case of your
own with `POST /api/v1/permissions/explain {"principal", "operation", "object"}`.
"""


def page() -> str:
    """Return the page in Markdown."""
    rows = [
        (
            operation.code,
            code(operation.name),
            f"{operation.words} ({_kinds(operation)})",
            operation.needs_words(),
            " ".join(operation.conditions),
        )
        for operation in OPERATIONS
    ]
    header = ("rule", "operation", "what (on)", "needs", "besides")
    return f"{_INTRODUCTION}\n{table(header, rows)}"


def _kinds(operation: Operation) -> str:
    if operation.kinds == tuple(GRANTABLE):
        return "anything"
    return ", ".join(_NAMES.get(kind, kind) for kind in operation.kinds)
