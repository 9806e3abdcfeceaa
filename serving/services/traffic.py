"""Write an endpoint's weights and the servers that they need, within a transaction."""

from __future__ import annotations

import datetime as dt
import uuid

from django.db.models import F
from django.utils import timezone

from registry.models import ModelVersion
from serving.models import (
    FULL_WEIGHT,
    Endpoint,
    ModelServer,
    Rollout,
    Route,
    ServerStatus,
)
from serving.poke import poke_after_commit

Weights = dict[uuid.UUID, int]


def lock_endpoint(endpoint: Endpoint) -> None:
    """Hold the endpoint's row to the end of the transaction: one writer at a time.

    Before anything else, for the log's lock must come last, or two would wait for
    each other.
    """
    Endpoint.objects.select_for_update().get(pk=endpoint.pk)


def champion_of(endpoint: Endpoint) -> ModelVersion | None:
    """Return the version that gets the traffic that no canary gets."""
    heaviest = endpoint.routes.select_related("version").order_by("-weight").first()
    return heaviest.version if heaviest and heaviest.weight == FULL_WEIGHT else None


def usable_server(endpoint: Endpoint, version: ModelVersion) -> ModelServer | None:
    """Return the server of a version that runs, or is to run."""
    return endpoint.servers.filter(
        version=version, status__in=ModelServer.USABLE
    ).first()


def is_healthy(endpoint: Endpoint, version: ModelVersion) -> bool:
    server = usable_server(endpoint, version)
    return server is not None and server.status == ServerStatus.HEALTHY


def shift(
    endpoint: Endpoint, to: ModelVersion, weight: int, rest: ModelVersion | None
) -> None:
    """Give a version its weight, and the rest of the traffic to another.

    Other routes stay at 0: their servers are warm, and a rollback finds them.
    """
    weights = dict.fromkeys(endpoint.routes.values_list("version_id", flat=True), 0)
    if rest is not None:
        weights[rest.pk] = FULL_WEIGHT - weight
    weights[to.pk] = weight
    write_weights(endpoint, weights)


def drop_route(endpoint: Endpoint, version: ModelVersion) -> None:
    """Take a version that gets no traffic out of the endpoint's routes."""
    weights = dict(endpoint.routes.values_list("version_id", "weight"))
    if weights.pop(version.pk, None) is not None:
        write_weights(endpoint, weights)


def write_weights(endpoint: Endpoint, weights: Weights) -> None:
    """Make these the endpoint's only routes; the weights sum to 10000, or there are none."""
    if weights and sum(weights.values()) != FULL_WEIGHT:
        raise ValueError(f"The weights {weights} do not sum to {FULL_WEIGHT}.")
    endpoint.routes.exclude(version_id__in=weights).delete()
    for version_id, weight in weights.items():
        Route.objects.update_or_create(
            endpoint=endpoint, version_id=version_id, defaults={"weight": weight}
        )
    touch(endpoint)


def want_server(endpoint: Endpoint, version: ModelVersion) -> None:
    """Have a server of the version run: the warm one, or a new one."""
    server = usable_server(endpoint, version)
    if server is None:
        ModelServer.objects.create(
            endpoint=endpoint, version=version, digest=version.digest
        )
    else:
        _set_wanted(server, True, None)
    touch(endpoint)


def keep_server_warm(
    endpoint: Endpoint, version: ModelVersion, until: dt.datetime
) -> None:
    """Keep a former champion ready for a rollback until then."""
    endpoint.servers.filter(version=version, status__in=ModelServer.USABLE).update(
        keep_until=until
    )


def unwant_server(endpoint: Endpoint, version: ModelVersion) -> None:
    """Let the agent drain and stop the servers of a version."""
    endpoint.servers.filter(version=version, status__in=ModelServer.USABLE).update(
        wanted=False, keep_until=None
    )
    touch(endpoint)


def _set_wanted(
    server: ModelServer, wanted: bool, keep_until: dt.datetime | None
) -> None:
    ModelServer.objects.filter(pk=server.pk).update(
        wanted=wanted, keep_until=keep_until
    )


def touch(endpoint: Endpoint) -> None:
    """Count a change of desired state, and tell the agent after the commit."""
    Endpoint.objects.filter(pk=endpoint.pk).update(generation=F("generation") + 1)
    poke_after_commit()


def active_rollout(endpoint: Endpoint) -> Rollout | None:
    """Return the endpoint's rollout that has not ended."""
    return (
        endpoint.rollouts.exclude(status__in=Rollout.ENDED)
        .select_related("version", "from_version")
        .first()
    )


def expired_warm_servers(now: dt.datetime | None = None) -> list[ModelServer]:
    """Return the servers whose time as a former champion is over."""
    return list(
        ModelServer.objects.filter(
            status__in=ModelServer.USABLE,
            wanted=True,
            keep_until__lte=now or timezone.now(),
        ).select_related("endpoint", "version")
    )
