"""Shapes of endpoints, rollouts and servers on the wire."""

from __future__ import annotations

from rest_framework import serializers

from access.conditions import detailed_among
from access.models import User
from core.serializers import InputSerializer
from registry import services as registry
from serving.models import (
    FULL_WEIGHT,
    Endpoint,
    GatewayStatus,
    ModelServer,
    Rollout,
    Route,
)
from serving.services import run_as_problems
from serving.services.traffic import active_rollout
from serving.shapes import (
    EndpointDetailJson,
    EndpointJson,
    GatewayJson,
    RolloutJson,
    RouteJson,
    ServerJson,
)


class CreateEndpointSerializer(InputSerializer):
    name = serializers.CharField(max_length=256)
    model = serializers.CharField(max_length=256)
    alias = serializers.CharField(max_length=255)
    plan = serializers.JSONField(required=False)
    run_as = serializers.CharField(max_length=150, required=False)


class ReasonSerializer(InputSerializer):
    reason = serializers.CharField(max_length=1000, default="", allow_blank=True)


def browsed_json(endpoint: Endpoint) -> EndpointJson:
    """Render an endpoint for who may know that it is there, and no more."""
    return {
        "id": str(endpoint.pk),
        "full_name": endpoint.full_name,
        "comment": endpoint.comment,
        "owner": endpoint.owner.username,
        "created_at": endpoint.created_at,
        "browse_only": True,
    }


def endpoints_json(rows: list[Endpoint], principal: User) -> list[EndpointJson]:
    """Render endpoints, those that are only browsed without their details."""
    detailed = detailed_among(principal, Endpoint, [row.pk for row in rows])
    return [
        endpoint_json(row) if row.pk in detailed else browsed_json(row) for row in rows
    ]


def endpoint_json(endpoint: Endpoint) -> EndpointJson:
    return {
        **browsed_json(endpoint),
        "browse_only": False,
        "model": endpoint.model.full_name,
        "alias": endpoint.alias,
        "run_as": endpoint.run_as.username,
        "plan": endpoint.plan,
        "generation": endpoint.generation,
    }


def endpoint_detail_json(endpoint: Endpoint) -> EndpointDetailJson:
    """An endpoint with its traffic as set and as seen, its servers, its rollout."""
    gateways = list(GatewayStatus.objects.order_by("name"))
    alias = registry.get_alias(endpoint.model, endpoint.alias)
    wanted = alias.version.number if alias and alias.version else None
    servers = endpoint.servers.filter(status__in=ModelServer.LIVE)
    active = active_rollout(endpoint)
    return {
        **endpoint_json(endpoint),
        "alias_version": wanted,
        "routes": _routes_json(endpoint, gateways),
        "servers": [server_json(s) for s in servers.select_related("version")],
        "rollout": rollout_json(active) if active else None,
        "run_as_problems": run_as_problems(endpoint),
        "gateways": [_gateway_json(endpoint, gateway) for gateway in gateways],
    }


def _routes_json(endpoint: Endpoint, gateways: list[GatewayStatus]) -> list[RouteJson]:
    """Set weight beside seen weight; nothing is seen while nobody calls."""
    routes = list(endpoint.routes.select_related("version"))
    counts = [gateway.seen.get(str(endpoint.pk), {}) for gateway in gateways]
    recent = sum(c["recent"] for by_version in counts for c in by_version.values())
    return [_route_json(route, counts, recent) for route in routes]


def _route_json(
    route: Route, counts: list[dict[str, dict[str, int]]], recent: int
) -> RouteJson:
    number = str(route.version.number)
    mine = [by_version[number] for by_version in counts if number in by_version]
    seen = sum(c["recent"] for c in mine)
    return {
        "version": route.version.number,
        "digest": route.version.digest,
        "weight": route.weight,
        "seen_weight": round(FULL_WEIGHT * seen / recent) if recent else None,
        "requests": sum(c["requests"] for c in mine),
        "errors": sum(c["errors"] for c in mine),
    }


def _gateway_json(endpoint: Endpoint, gateway: GatewayStatus) -> GatewayJson:
    key = str(endpoint.pk)
    return {
        "name": gateway.name,
        "is_ready": gateway.is_ready,
        "generation": gateway.generations.get(key),
        "problem": gateway.problems.get(key),
        "reported_at": gateway.reported_at,
    }


def server_json(server: ModelServer) -> ServerJson:
    return {
        "id": str(server.pk),
        "version": server.version.number,
        "digest": server.digest,
        "status": server.status,
        "wanted": server.wanted,
        "keep_until": server.keep_until,
        "restarts": server.restarts,
        "message": server.message,
    }


def rollout_json(rollout: Rollout) -> RolloutJson:
    before = rollout.from_version
    return {
        "id": str(rollout.pk),
        "endpoint": rollout.endpoint.full_name,
        "kind": rollout.kind,
        "status": rollout.status,
        "paused_from": rollout.paused_from,
        "version": rollout.version.number,
        "from_version": before.number if before else None,
        "steps": rollout.steps,
        "step": rollout.step,
        "step_started_at": rollout.step_started_at,
        "next_at": rollout.next_at,
        "deadline_at": rollout.deadline_at,
        "reason": rollout.reason,
        "created_at": rollout.created_at,
        "ended_at": rollout.ended_at,
    }
