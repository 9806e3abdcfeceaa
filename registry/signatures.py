"""Read the columns out of a signature as MLflow writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_SIDES = {"inputs": "input", "outputs": "output", "params": "parameter"}


@dataclass(frozen=True)
class Column:
    """One column, tensor or parameter of a model's signature."""

    side: str
    name: str
    type: str
    is_required: bool


def columns_of(signature: dict[str, Any]) -> list[Column]:
    """List what goes in and what comes out; unreadable parts are left out."""
    return [
        _column(side, index, spec)
        for key, side in _SIDES.items()
        for index, spec in enumerate(_specs(signature.get(key)))
    ]


def _specs(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    rows = value if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, dict)]


def _column(side: str, index: int, spec: dict[str, Any]) -> Column:
    kind = str(spec.get("type", "any"))
    if isinstance(tensor := spec.get("tensor-spec"), dict):
        kind = f"{tensor.get('dtype')} {tensor.get('shape')}"
    return Column(
        side=side,
        name=str(spec.get("name") or f"{side} {index}"),
        type=kind,
        is_required=bool(spec.get("required", True)),
    )
