"""An endpoint, and hands that do what the agent would do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from registry.models import ModelVersion, RegisteredModel
from serving import services as serving
from serving.models import Endpoint, ModelServer, Rollout, ServerStatus
from serving.services.endpoints import followers
from serving.services.rollouts import rollouts

SLOW_PLAN = {
    "steps": [
        {"weight": 1000, "min_duration_seconds": 3600},
        {"weight": 5000, "min_duration_seconds": 3600},
    ],
    "bake_seconds": 3600,
}
FAST_PLAN = {"steps": [{"weight": 1000}, {"weight": 5000}], "bake_seconds": 0}

Move = Callable[[ModelVersion], Rollout]


@pytest.fixture
def endpoint(owner: User, model: RegisteredModel, use: Callable[..., None]) -> Endpoint:
    """prod.fraud.live follows prod.fraud.scorer@Champion; nothing serves yet."""
    use(owner, Privilege.CREATE_ENDPOINT)
    return serving.create_endpoint(
        "prod.fraud.live", model, "Champion", plan=SLOW_PLAN, principal=owner
    )


@pytest.fixture
def steerer(
    grantee: User, owner: User, endpoint: Endpoint, use: Callable[..., None]
) -> User:
    """Someone who was granted SHIFT TRAFFIC on the endpoint."""
    use(grantee)
    access.grant(endpoint, Privilege.SHIFT_TRAFFIC, grantee, principal=owner)
    return grantee


@pytest.fixture
def move(endpoint: Endpoint, owner: User) -> Move:
    """Point the alias at a version and start what follows, as the task does."""

    def to(version: ModelVersion) -> Rollout:
        approvals.set_alias(endpoint.model, "Champion", version, principal=owner)
        follower = followers(endpoint.model_id, "Champion").get(pk=endpoint.pk)
        rollout = serving.start_rollout(follower, version, None)
        assert rollout is not None
        return rollout

    return to


@pytest.fixture
def champion(move: Move, version: ModelVersion) -> ModelVersion:
    """Version 1, with all traffic."""
    settle(move(version))
    return version


@pytest.fixture
def second(
    endpoint: Endpoint,
    make_version: Callable[..., ModelVersion],
    champion: ModelVersion,
) -> ModelVersion:
    return make_version(endpoint.model, content="2")


@pytest.fixture
def canary(move: Move, second: ModelVersion) -> Rollout:
    """Version 2 at its first step, 10% beside version 1."""
    return begin(move(second))


def make_healthy(rollout: Rollout) -> None:
    """Report every starting server of the endpoint as healthy."""
    servers = ModelServer.objects.filter(
        endpoint=rollout.endpoint, status=ServerStatus.STARTING
    )
    for server in servers:
        serving.mark_healthy(server)


def step(rollout: Rollout, times: int = 1) -> Rollout:
    """Reconcile so many times."""
    for _ in range(times):
        rollout = serving.reconcile(fresh(rollout))
    return fresh(rollout)


def begin(rollout: Rollout) -> Rollout:
    """Bring a rollout to its first step, or promote it if it has none."""
    rollout = step(rollout)
    make_healthy(rollout)
    return step(rollout)


def settle(rollout: Rollout) -> Rollout:
    """Bring a rollout to its good end, whatever its plan says of time."""
    rollout = begin(rollout)
    while rollout.is_active:
        Rollout.objects.filter(pk=rollout.pk).exclude(next_at=None).update(
            next_at=rollout.created_at
        )
        rollout = step(rollout)
    return rollout


def fresh(rollout: Rollout) -> Rollout:
    return rollouts().get(pk=rollout.pk)


def weights(endpoint: Endpoint) -> dict[int, int]:
    """Return the weight of each routed version, by number."""
    routes = endpoint.routes.select_related("version").order_by("version__number")
    return {route.version.number: route.weight for route in routes}
