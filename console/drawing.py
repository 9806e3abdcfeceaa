"""Lay a lineage out as rows of boxes: what was first on top, lines downwards."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass

from console import words
from registry.lineage import Edge, Graph, Node

_WIDTH, _HEIGHT = 216, 46
_BESIDE, _BELOW = 16, 38
_MARGIN = 2
_LETTERS = 30

# Kind of node -> its words, and the kind of row whose page it has.
_KINDS = {
    "version": ("version", "modelversion"),
    "mlflow_run": ("MLflow run", ""),
    "run": ("training run", "run"),
    "snapshot": ("dataset snapshot", ""),
    "package_version": ("package", ""),
    "approval_request": ("approval request", "approvalrequest"),
    "endpoint": ("endpoint", "endpoint"),
    "hidden": ("you may not see it", ""),
}


@dataclass(frozen=True)
class Box:
    """One thing of the graph, where it is drawn, and its page."""

    node: Node
    x: int
    y: int
    is_root: bool

    @property
    def width(self) -> int:
        return _WIDTH

    @property
    def height(self) -> int:
        return _HEIGHT

    @property
    def kind(self) -> str:
        return _KINDS.get(self.node.kind, (self.node.kind.replace("_", " "), ""))[0]

    @property
    def label(self) -> str:
        """The name, shortened in front: its end tells things apart."""
        name = self.node.name
        return name if len(name) <= _LETTERS else f"…{name[1 - _LETTERS :]}"

    @property
    def url(self) -> str:
        _, kind = _KINDS.get(self.node.kind, ("", ""))
        if not kind:
            return ""
        return words.url_of(
            kind, self.node.name, uuid.UUID(self.node.id.partition(":")[2])
        )


@dataclass(frozen=True)
class Line:
    """What came of what, as a curve and in words."""

    path: str
    source: Box
    target: Box
    relation: str


@dataclass(frozen=True)
class Drawing:
    """A graph on a sheet of a width and a height."""

    width: int
    height: int
    boxes: list[Box]
    lines: list[Line]
    is_complete: bool


def draw(graph: Graph) -> Drawing:
    """Lay a lineage out; the row of a thing is below everything it came of."""
    rows: dict[int, list[Node]] = defaultdict(list)
    level = _levels(graph.nodes, graph.edges)
    for node in graph.nodes:
        rows[level[node.id]].append(node)
    widest = max(map(len, rows.values()))
    width = widest * (_WIDTH + _BESIDE) - _BESIDE + 2 * _MARGIN
    boxes = {
        node.id: Box(node, x, _top_of(at), node.id == graph.root)
        for at, nodes in sorted(rows.items())
        for x, node in zip(_starts(len(nodes), width), nodes, strict=True)
    }
    lines = [_line(boxes[e.source], boxes[e.target], e.relation) for e in graph.edges]
    height = _top_of(max(rows)) + _HEIGHT + _MARGIN
    return Drawing(width, height, list(boxes.values()), lines, graph.is_complete)


def _levels(nodes: list[Node], edges: list[Edge]) -> dict[str, int]:
    """Return how many steps each thing lies below what came of nothing.

    No thing comes of itself, so as many rounds as there are things are enough.
    """
    level = {node.id: 0 for node in nodes}
    for _ in nodes:
        for edge in edges:
            level[edge.target] = max(level[edge.target], level[edge.source] + 1)
    return level


def _top_of(row: int) -> int:
    return _MARGIN + row * (_HEIGHT + _BELOW)


def _starts(count: int, width: int) -> list[int]:
    """Return where the boxes of a row begin, so that the row stands in the middle."""
    first = (width - count * (_WIDTH + _BESIDE) + _BESIDE) // 2
    return [first + at * (_WIDTH + _BESIDE) for at in range(count)]


def _line(source: Box, target: Box, relation: str) -> Line:
    x1, y1 = source.x + _WIDTH // 2, source.y + _HEIGHT
    x2, y2 = target.x + _WIDTH // 2, target.y
    middle = (y1 + y2) // 2
    path = f"M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}"
    return Line(path, source, target, relation)
