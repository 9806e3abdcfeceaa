"""What serving adds to the lineage of versions (see registry.lineage)."""

from __future__ import annotations

import uuid

from registry.lineage import Graph, node_id
from serving import services
from serving.models import FULL_WEIGHT, Endpoint, Rollout, Route

Pair = tuple[uuid.UUID, uuid.UUID]  # (endpoint, version)


def add(graph: Graph) -> None:
    """Add the endpoints that serve one of the versions, or were to serve it once."""
    weights = _weights(graph)
    pairs = dict.fromkeys([*weights, *_rolled_out(graph)])
    named = Endpoint.objects.filter(pk__in={endpoint for endpoint, _ in pairs})
    endpoints = named.in_bulk()
    seen = services.known_endpoints(graph.principal).filter(pk__in=endpoints)
    visible = set(seen.order_by().values_list("pk", flat=True))
    for endpoint_id, version_id in pairs:
        if endpoint_id in visible:
            endpoint = endpoints[endpoint_id]
            added = graph.add(
                "endpoint", endpoint_id, endpoint.full_name, alias=endpoint.alias
            )
        else:
            added = graph.add_hidden("endpoint", endpoint_id)
        weight = weights.get((endpoint_id, version_id), 0)
        graph.link(node_id("version", version_id), added, _relation(weight))


def _relation(weight: int) -> str:
    if not weight:
        return "was rolled out to"
    return f"is served by ({100 * weight / FULL_WEIGHT:g}%)"


def _weights(graph: Graph) -> dict[Pair, int]:
    rows = Route.objects.filter(version__in=graph.versions, weight__gt=0)
    found = rows.order_by("created_at").values_list(
        "endpoint_id", "version_id", "weight"
    )
    return {(endpoint, version): weight for endpoint, version, weight in found}


def _rolled_out(graph: Graph) -> list[Pair]:
    rows = Rollout.objects.filter(version__in=graph.versions)
    pairs = rows.order_by().values_list("endpoint_id", "version_id").distinct()
    return list(pairs)
