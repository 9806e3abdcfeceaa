"""The node agent: make processes and Envoy match the rows, again and again.

Level-triggered: each tick looks at what is wanted and at what is, and does what
is missing. Nothing is remembered that a restart could lose. It also moves the
rollouts on, so they need no worker and no broker.
"""

from __future__ import annotations

import copy
import fcntl
import logging
import os
import select
import signal
import socket
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from core.errors import DomainError
from serving import services as serving
from serving.gateway import Counts, Gateway, Observation
from serving.meter import Meter, Totals
from serving.models import (
    Endpoint,
    GatewayStatus,
    ModelServer,
    Rollout,
    Route,
    ServerStatus,
)
from serving.poke import listen
from serving.servers import local
from serving.servers.keeper import Keeper
from serving.services.rollouts import rollouts
from serving.subjects import subjects_of
from serving.xds.routes import Exposure, Target

logger = logging.getLogger(__name__)

S = ServerStatus
NAME = "local"
_BUSY_SECONDS, _IDLE_SECONDS = 0.2, 0.5
_REPORT_SECONDS = 5.0
_BUSY = (S.STARTING, S.DRAINING, S.CRASH_LOOP)


class AlreadyRunning(RuntimeError):
    """Another agent owns this gateway."""


class Agent:
    """Owner of one gateway: its model servers and its Envoy's files."""

    def __init__(self) -> None:
        self.gateway = Gateway(settings.GATEWAY_DIR)
        self.keeper = Keeper(self.gateway)
        self.meter: Meter | None = None
        self.is_busy = False
        self._generations: dict[str, int] = {}
        self._reported: tuple[float, dict[str, Any]] = (0.0, {})

    def tick(self) -> None:
        """Look once, and do what is missing."""
        if self.meter is None:
            self.keeper.adopt(_live_servers())
            self.meter = Meter(_known_totals())
        self._publish_weights()
        for rollout in rollouts().exclude(status__in=Rollout.ENDED):
            _move_on(rollout)
        serving.release_warm_servers()
        seen = self.gateway.observe()
        servers = _live_servers()
        for server in servers:
            self.keeper.tend(server, seen)
        live = [server for server in servers if server.status in ModelServer.LIVE]
        endpoints = _endpoints()
        self.gateway.publish(self._exposures(endpoints, live))
        self._publish_weights()
        self._report(seen, endpoints, live)
        is_changing = any(server.status in _BUSY for server in live)
        self.is_busy = is_changing or not self.gateway.is_settled(seen)

    def _publish_weights(self) -> None:
        """Bring the weights of the rows to Envoy, first and last in every tick."""
        clusters = {
            (endpoint_id, version_id): f"m-{pk.hex}"
            for pk, endpoint_id, version_id in ModelServer.objects.filter(
                status__in=ModelServer.USABLE
            ).values_list("pk", "endpoint_id", "version_id")
        }
        weights: dict[str, Counts] = defaultdict(dict)
        for endpoint_id, version_id, weight in Route.objects.values_list(
            "endpoint_id", "version_id", "weight"
        ):
            if cluster := clusters.get((endpoint_id, version_id)):
                weights[endpoint_id.hex][cluster] = weight
        self.gateway.publish_weights(weights)

    def _exposures(
        self, endpoints: list[Endpoint], servers: list[ModelServer]
    ) -> list[Exposure]:
        """Say what the gateway shows: endpoints, their processes, their callers."""
        subjects = subjects_of(endpoints)
        shown: dict[uuid.UUID, list[ModelServer]] = defaultdict(list)
        for server in servers:
            if self.keeper.is_exposed(server):
                shown[server.endpoint_id].append(server)
        active = Rollout.objects.exclude(status__in=Rollout.ENDED)
        salts = dict(active.values_list("endpoint_id", "pk"))
        return [
            Exposure(
                key=endpoint.pk.hex,
                full_name=endpoint.full_name,
                targets=tuple(map(_target, shown[endpoint.pk])),
                routed=_routed(endpoint, shown[endpoint.pk]),
                subjects=subjects[endpoint.pk],
                timeout_seconds=endpoint.plan["timeout_seconds"],
                salt=str(salts.get(endpoint.pk, "")) if endpoint.plan["sticky"] else "",
            )
            for endpoint in endpoints
        ]

    def _report(
        self, seen: Observation, endpoints: list[Endpoint], servers: list[ModelServer]
    ) -> None:
        """Store what Envoy accepted and counted, when it changed or from time to time."""
        owners = {
            server.cluster: (str(server.endpoint_id), str(server.version.number))
            for server in servers
        }
        if self.gateway.is_settled(seen):
            self._generations = {str(e.pk): e.generation for e in endpoints}
        problems = self.gateway.problems.items()
        state = {
            "is_ready": seen.is_ready,
            "acknowledged": seen.accepted,
            "generations": self._generations,
            "problems": {str(uuid.UUID(key)): problem for key, problem in problems},
            "seen": self.meter.add(seen, owners) if self.meter else {},
        }
        at, last = self._reported
        if state == last and time.monotonic() - at < _REPORT_SECONDS:
            return
        GatewayStatus.objects.update_or_create(
            name=NAME, defaults={**state, "reported_at": timezone.now()}
        )
        self._reported = (time.monotonic(), copy.deepcopy(state))


def run(*, keep_servers: bool) -> None:
    """Tick until told to stop; then end the model servers, unless they are to stay."""
    os.chdir(settings.HOME)  # the paths of all sockets are seen from there
    with _lock(), listen() as pokes, _stop_signal() as stopped:
        agent = Agent()
        while not stopped.is_set():
            _tick_safely(agent)
            wait = _BUSY_SECONDS if agent.is_busy else _IDLE_SECONDS
            _wait(pokes, stopped, wait)
    if not keep_servers:
        local.stop_all()


def _tick_safely(agent: Agent) -> None:
    """Tick; whatever fails, the last good configuration goes on serving."""
    try:
        agent.tick()
    except DatabaseError:
        logger.warning("database unavailable", exc_info=True)
        connection.close()
    except Exception:
        logger.exception("tick failed")


def _wait(pokes: socket.socket, stopped: _Stop, seconds: float) -> None:
    """Sleep until the next tick, a poke or a signal."""
    select.select([pokes, stopped.reader], [], [], seconds)
    with suppress(BlockingIOError):
        while pokes.recv(16):
            pass


class _Stop:
    """A flag that SIGTERM or SIGINT sets, and that wakes a select."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self._set = False

    def set(self, *_: object) -> None:
        self._set = True
        self._writer.send(b"1")

    def is_set(self) -> bool:
        return self._set


@contextmanager
def _stop_signal() -> Iterator[_Stop]:
    stop = _Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.set)
    yield stop


@contextmanager
def _lock() -> Iterator[None]:
    """Be the only agent of this gateway. Raises AlreadyRunning."""
    settings.GATEWAY_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (settings.GATEWAY_DIR / "agent.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(
                f"An agent runs in {settings.HOME} already."
            ) from error
        yield


def _move_on(rollout: Rollout) -> None:
    try:
        serving.reconcile(rollout)
    except DomainError:
        logger.warning(
            "rollout did not move", extra={"rollout": str(rollout.pk)}, exc_info=True
        )


def _endpoints() -> list[Endpoint]:
    rows = Endpoint.objects.select_related("schema", "owner")
    return list(rows.prefetch_related("routes"))


def _live_servers() -> list[ModelServer]:
    rows = ModelServer.objects.filter(status__in=ModelServer.LIVE)
    related = "endpoint__run_as", "endpoint__model", "version__model"
    return list(rows.select_related(*related))


def _known_totals() -> Totals:
    known = GatewayStatus.objects.filter(name=NAME).first()
    return known.seen if known else {}


def _target(server: ModelServer) -> Target:
    return Target(
        cluster=server.cluster,
        socket=local.socket_of(server.pk),
        model=server.version.model.full_name,
        version=server.version.number,
        digest=server.digest,
    )


def _routed(endpoint: Endpoint, servers: list[ModelServer]) -> tuple[str, ...]:
    """Return the clusters that the endpoint's routes name, the newest route first.

    None while no version with a weight has a process: there is nothing to split.
    """
    clusters = {
        s.version_id: s.cluster for s in servers if s.status in ModelServer.USABLE
    }
    routes = [route for route in endpoint.routes.all() if route.version_id in clusters]
    if not any(route.weight for route in routes):
        return ()
    return tuple(clusters[route.version_id] for route in routes)
