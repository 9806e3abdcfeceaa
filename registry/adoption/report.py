"""What became of every model, version, alias and experiment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a line of the report is about."""

    MODEL = "model"
    VERSION = "version"
    ALIAS = "alias"
    EXPERIMENT = "experiment"


class Result(StrEnum):
    """How it went."""

    TAKEN = "taken over"
    HERE = "already here"
    NEEDS_APPROVAL = "needs approval"
    LEFT_OUT = "left out"
    FAILED = "failed"


@dataclass(frozen=True)
class Line:
    """One thing and what became of it."""

    kind: Kind
    name: str
    result: Result
    reason: str = ""


@dataclass
class Report:
    """Lines, the bytes that were copied, and the time that it took."""

    lines: list[Line] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0

    def add(self, kind: Kind, name: str, result: Result, reason: str = "") -> None:
        """Note what became of one thing."""
        self.lines.append(Line(kind, name, result, reason))

    def count(self, kind: Kind, result: Result) -> int:
        """Count the things of one kind that went one way."""
        return self._counts()[(kind, result)]

    def with_result(self, result: Result) -> list[Line]:
        """Return the lines that went one way."""
        return [line for line in self.lines if line.result == result]

    @property
    def did_nothing(self) -> bool:
        """Tell whether everything was here already, or left out."""
        return not {line.result for line in self.lines} - {Result.HERE, Result.LEFT_OUT}

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        counts = self._counts()
        return {
            "counts": {
                kind.value: {
                    result.value: counts[(kind, result)]
                    for result in Result
                    if counts[(kind, result)]
                }
                for kind in Kind
            },
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "lines": [
                {
                    "kind": line.kind.value,
                    "name": line.name,
                    "result": line.result.value,
                    "reason": line.reason,
                }
                for line in self.lines
            ],
        }

    def _counts(self) -> Counter[tuple[Kind, Result]]:
        return Counter((line.kind, line.result) for line in self.lines)
