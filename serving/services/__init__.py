"""Serving's services, by noun; call them as `serving.verb_noun(…)`."""

from __future__ import annotations

from serving.services.endpoints import (
    create_endpoint,
    get_endpoint,
    known_endpoints,
    run_as_problems,
    visible_endpoints,
)
from serving.services.rollouts import (
    abort,
    get_rollout,
    pause,
    promote,
    promote_full,
    reconcile,
    resume,
    rollback,
    start_rollout,
)
from serving.services.servers import (
    expect_start,
    mark_crashed,
    mark_drained,
    mark_failed,
    mark_healthy,
    mark_running,
    mark_stopped,
    refuse_tampered,
    release_warm_servers,
    start_draining,
)

__all__ = [
    "abort",
    "create_endpoint",
    "expect_start",
    "get_endpoint",
    "get_rollout",
    "known_endpoints",
    "mark_crashed",
    "mark_drained",
    "mark_failed",
    "mark_healthy",
    "mark_running",
    "mark_stopped",
    "pause",
    "promote",
    "promote_full",
    "reconcile",
    "refuse_tampered",
    "release_warm_servers",
    "resume",
    "rollback",
    "run_as_problems",
    "start_draining",
    "start_rollout",
    "visible_endpoints",
]
