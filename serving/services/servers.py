"""Model servers: what the agent reports of each, and what that means.

Only the agent of a gateway calls these, for processes that it alone owns.
"""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.utils import timezone

from core.states import transition
from events.services import emit
from events.types import EventType
from registry import services as registry
from serving.models import ModelServer, ServerStatus
from serving.poke import poke_after_commit
from serving.services import traffic

S = ServerStatus
_BACK_OFF_SECONDS = (1, 2, 4, 8, 16, 32, 60)
# so many crashes without a steady time between them, and it is a loop
CRASH_LIMIT = 3
_STEADY = dt.timedelta(minutes=10)


def mark_running(server: ModelServer, pid: int, process_started: int) -> None:
    """Note the process of a server, started or adopted."""
    _set(server, pid=pid, process_started=process_started, next_start_at=None)


@transaction.atomic
def mark_healthy(server: ModelServer) -> None:
    """The server answers, and the gateway says so too: rollouts may go on."""
    changes = {} if server.healthy_at else {"healthy_at": timezone.now()}
    transition(server, S.HEALTHY, message="", **changes)
    poke_after_commit()


def expect_start(server: ModelServer) -> None:
    """The process went away with the stack; it starts anew, and nothing is counted."""
    if server.status == S.HEALTHY:
        transition(server, S.STARTING)
    _set(server, pid=None, process_started=None)


@transaction.atomic
def mark_crashed(server: ModelServer, message: str) -> None:
    """The process ended by itself: start again later, and later each time."""
    was_steady = server.healthy_at and timezone.now() - server.healthy_at > _STEADY
    crashes = 1 if was_steady and server.status == S.HEALTHY else server.restarts + 1
    wait = _BACK_OFF_SECONDS[min(crashes, len(_BACK_OFF_SECONDS)) - 1]
    changes = {
        "restarts": crashes,
        "message": message,
        "pid": None,
        "process_started": None,
        "next_start_at": timezone.now() + dt.timedelta(seconds=wait),
    }
    to = S.CRASH_LOOP if crashes >= CRASH_LIMIT else S.STARTING
    if server.status == to:
        _set(server, **changes)
        return
    transition(server, to, **changes)
    if to == S.CRASH_LOOP:
        _tell_failure(server, message)


@transaction.atomic
def mark_failed(server: ModelServer, message: str) -> None:
    """The server cannot be started at all; it is not tried again."""
    transition(server, S.FAILED, message=message, ended_at=timezone.now(), pid=None)
    _tell_failure(server, message)


@transaction.atomic
def refuse_tampered(server: ModelServer, problems: list[str]) -> None:
    """The stored bytes are not what was approved: load nothing, raise the alarm."""
    mark_failed(server, f"refused to load: {'; '.join(problems)[:1000]}")
    registry.report_tampering(server.version, problems)


def _tell_failure(server: ModelServer, message: str) -> None:
    traffic.touch(server.endpoint)
    emit(
        EventType.MODEL_SERVER_FAILED,
        server.endpoint,
        principal=None,
        server_id=server.pk,
        version=server.version.number,
        status=server.status,
        message=message,
    )


def start_draining(server: ModelServer) -> None:
    """Nobody wants the server any more: it gets no new request from now on."""
    transition(server, S.DRAINING, draining_at=timezone.now())


def mark_drained(server: ModelServer) -> None:
    """No request is left in it; its cluster may go, then its process."""
    _set(server, drained_at=timezone.now())


def mark_stopped(server: ModelServer) -> None:
    """The process has ended, as it was told to."""
    transition(server, S.STOPPED, pid=None, ended_at=timezone.now())


def release_warm_servers() -> None:
    """Let former champions go whose time is over and that get no traffic."""
    if expired := traffic.expired_warm_servers():
        _release(expired)


@transaction.atomic
def _release(expired: list[ModelServer]) -> None:
    for server in expired:
        traffic.lock_endpoint(server.endpoint)
        endpoint, version = server.endpoint, server.version
        weighted = endpoint.routes.filter(version=version, weight__gt=0).exists()
        if weighted or traffic.active_rollout(endpoint) is not None:
            continue
        traffic.drop_route(endpoint, version)
        traffic.unwant_server(endpoint, version)


def _set(server: ModelServer, **changes: object) -> None:
    ModelServer.objects.filter(pk=server.pk).update(**changes)
    for field, value in changes.items():
        setattr(server, field, value)
