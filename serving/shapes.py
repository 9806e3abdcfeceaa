"""What the REST of serving answers."""

from __future__ import annotations

import datetime as dt
from typing import Any, NotRequired, TypedDict


class EndpointJson(TypedDict):
    """A URL that answers with the version an alias points at.

    To who only browses, it has its name, comment and owner, and no more.
    """

    id: str
    full_name: str
    comment: str
    owner: str
    created_at: dt.datetime
    browse_only: bool
    model: NotRequired[str]
    alias: NotRequired[str]
    run_as: NotRequired[str]
    plan: NotRequired[dict[str, Any]]
    generation: NotRequired[int]


class EndpointsJson(TypedDict):
    """The endpoints that one sees."""

    endpoints: list[EndpointJson]


class RouteJson(TypedDict):
    """The share of a version in basis points: as set, and as seen of late."""

    version: int
    digest: str
    weight: int
    seen_weight: int | None
    requests: int
    errors: int


class ServerJson(TypedDict):
    """A process that serves a version."""

    id: str
    version: int
    digest: str
    status: str
    wanted: bool
    keep_until: dt.datetime | None
    restarts: int
    message: str


class RolloutJson(TypedDict):
    """A move of an endpoint's traffic to a version, step by step."""

    id: str
    endpoint: str
    kind: str
    status: str
    paused_from: str
    version: int
    from_version: int | None
    steps: list[dict[str, Any]]
    step: int
    step_started_at: dt.datetime | None
    next_at: dt.datetime | None
    deadline_at: dt.datetime
    reason: str
    created_at: dt.datetime
    ended_at: dt.datetime | None


class GatewayJson(TypedDict):
    """What one gateway last reported of the endpoint."""

    name: str
    is_ready: bool
    generation: int | None
    problem: str | None
    reported_at: dt.datetime


class EndpointDetailJson(EndpointJson):
    """An endpoint with its traffic, servers, rollout and gateways."""

    alias_version: NotRequired[int | None]
    routes: NotRequired[list[RouteJson]]
    servers: NotRequired[list[ServerJson]]
    rollout: NotRequired[RolloutJson | None]
    run_as_problems: NotRequired[list[dict[str, Any]]]
    gateways: NotRequired[list[GatewayJson]]


class ServingTokenJson(TypedDict):
    """A token that endpoints take."""

    token: str
    expires_at: dt.datetime
