"""Where a version comes from, and where it went: one graph, one caller's view.

The registry knows of copies and MLflow runs; the apps above add what they know,
each by a function `add(graph)` named in `greenlight.subscriptions`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from access.models import User
from core.errors import DomainError
from registry.experiments import require_run
from registry.models import IN_PLACE, ModelVersion, RegisteredModel

HIDDEN = "hidden object"
# a graph that a person looks at; `is_complete` says when something was left out
_MOST_VERSIONS = 100


@dataclass(frozen=True)
class Node:
    """A thing in the graph; one that the caller may not see has no name."""

    id: str
    kind: str
    name: str
    is_hidden: bool = False
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Edge:
    """From what was first to what came of it."""

    source: str
    target: str
    relation: str


class Graph:
    """The lineage of one version, as one principal may see it (rule P-27)."""

    def __init__(self, version: ModelVersion, *, principal: User) -> None:
        self.root = node_id("version", version.pk)
        self.principal = principal
        # the versions that the principal may see: what others add hangs on these
        self.versions: dict[uuid.UUID, ModelVersion] = {}
        self.is_complete = True
        self._nodes: dict[str, Node] = {}
        self._edges: dict[Edge, None] = {}
        self._hidden: dict[str, str] = {}

    @property
    def nodes(self) -> list[Node]:
        return list(self._nodes.values())

    @property
    def edges(self) -> list[Edge]:
        return list(self._edges)

    def add(self, kind: str, pk: object, name: str, **details: Any) -> str:
        """Add a thing that the principal may see, and return its id."""
        node = Node(node_id(kind, pk), kind, name, details=details)
        self._nodes.setdefault(node.id, node)
        return node.id

    def add_hidden(self, kind: str, pk: object) -> str:
        """Add a thing of which the principal learns that it is there, no more."""
        key = node_id(kind, pk)
        found = self._hidden.setdefault(key, f"hidden:{len(self._hidden) + 1}")
        self._nodes.setdefault(found, Node(found, "hidden", HIDDEN, is_hidden=True))
        return found

    def link(self, source: str, target: str, relation: str) -> None:
        """Say that `target` came of `source`."""
        self._edges.setdefault(Edge(source, target, relation))


def node_id(kind: str, pk: object) -> str:
    """Return the id that a visible thing has in every graph."""
    return f"{kind}:{pk}"


def lineage_of(version: ModelVersion, principal: User) -> Graph:
    """Return what led to a version and what came of it.

    The caller has made sure that the principal may see the version itself. A
    hidden object ends the walk: what lies behind it is not told.
    """
    graph = Graph(version, principal=principal)
    _add_version(graph, version)
    _walk_up(graph, version)
    _walk_down(graph, version)
    _add_mlflow_runs(graph)
    add: Callable[[Graph], None]
    for path in import_string(settings.REGISTRY_HOOKS)["lineage"]:
        add = import_string(path)
        add(graph)
    return graph


def _walk_up(graph: Graph, version: ModelVersion) -> None:
    """Add the version whose bytes this one has, and the one before that."""
    while version.copied_from_id and _has_room(graph):
        source = _rows().get(pk=version.copied_from_id)
        found = _add_if_visible(graph, [source])[source.pk]
        graph.link(found, node_id("version", version.pk), "copied to")
        if source.pk not in graph.versions:
            return
        version = source


def _walk_down(graph: Graph, version: ModelVersion) -> None:
    """Add the copies, and the copies of these, one statement for each level."""
    level = {version.pk}
    while level and _has_room(graph):
        room = _MOST_VERSIONS - len(graph.versions)
        copies = list(_rows().filter(copied_from__in=level).order_by("created_at"))
        graph.is_complete &= len(copies) <= room
        added = _add_if_visible(graph, copies[:room])
        for copy in copies[:room]:
            source = node_id("version", copy.copied_from_id)
            graph.link(source, added[copy.pk], "copied to")
        level = {copy.pk for copy in copies[:room] if copy.pk in graph.versions}


def _has_room(graph: Graph) -> bool:
    graph.is_complete &= len(graph.versions) < _MOST_VERSIONS
    return graph.is_complete


def _rows() -> Any:
    return ModelVersion.objects.select_related("model", "created_by")


def _add_if_visible(
    graph: Graph, versions: Iterable[ModelVersion]
) -> dict[uuid.UUID, str]:
    """Add versions, hidden or not, in one statement; return their ids by key."""
    models = {version.model_id for version in versions}
    seen = RegisteredModel.objects.detailed(graph.principal).filter(pk__in=models)
    visible = set(seen.order_by().values_list("pk", flat=True))
    return {
        version.pk: (
            _add_version(graph, version)
            if version.model_id in visible
            else graph.add_hidden("version", version.pk)
        )
        for version in versions
    }


def _add_version(graph: Graph, version: ModelVersion) -> str:
    graph.versions[version.pk] = version
    return graph.add(
        "version",
        version.pk,
        version.full_name,
        status=version.status,
        digest=version.digest,
        created_by=version.created_by.username,
        created_at=version.created_at,
    )


def _add_mlflow_runs(graph: Graph) -> None:
    """Add the MLflow runs of what was not copied: a copy has its source's run."""
    for version in graph.versions.values():
        run_id = version.mlflow_run_id
        if version.lineage.get("adopted_from", IN_PLACE) != IN_PLACE:
            _add_origin(graph, version)
            continue
        if not run_id or version.copied_from_id:
            continue
        found = mlflow_run(graph, run_id)
        graph.link(found, node_id("version", version.pk), "registered as")


def _add_origin(graph: Graph, version: ModelVersion) -> None:
    """Add the registry that a version was taken over from: its run stayed there."""
    found = graph.add(
        "adopted_version",
        version.pk,
        version.lineage["adopted_name"],
        registry=version.lineage["adopted_from"],
        mlflow_run_id=version.mlflow_run_id,
    )
    graph.link(found, node_id("version", version.pk), "adopted as")


def mlflow_run(graph: Graph, run_id: str) -> str:
    """Add an MLflow run, hidden unless its experiment may be read."""
    try:
        require_run(run_id, principal=graph.principal)
    except DomainError:
        return graph.add_hidden("mlflow_run", run_id)
    return graph.add("mlflow_run", run_id, run_id)
