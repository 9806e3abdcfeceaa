"""The rollout's state machine: what the facts say, and each transition.

    pending → preparing → step 0 … step n → promoting → baking → succeeded
                    paused (and back)    any of them → rolling_back → rolled_back

The transitions run inside the transaction of a caller that claimed the revision.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from access.models import User
from approvals import services as approvals
from core.errors import DomainError
from core.states import transition
from events.services import emit
from events.types import EventType
from registry import services as registry
from registry.models import ModelVersion
from serving.models import (
    FULL_WEIGHT,
    ModelServer,
    Rollout,
    RolloutKind,
    RolloutStatus,
    ServerStatus,
)
from serving.services import traffic

logger = logging.getLogger(__name__)

S = RolloutStatus
Action = Callable[[Rollout], None]


def claim(rollout: Rollout) -> bool:
    """Take the revision that this caller saw; tell whether nobody else had."""
    seen = Rollout.objects.filter(pk=rollout.pk, revision=rollout.revision)
    if not seen.update(revision=F("revision") + 1):
        return False
    rollout.revision += 1
    return True


# --- what to do next, by the stored facts --------------------------------------


def decide(rollout: Rollout, now: dt.datetime) -> Action | None:
    """Return the transition that is due, or None. Reads rows, changes none."""
    if not rollout.is_active:
        return None
    if rollout.status == S.ROLLING_BACK:
        return finish_rollback
    if trouble := _trouble(rollout, now):
        return partial(begin_rollback, reason=trouble)
    if rollout.status == S.PENDING:
        return prepare
    if rollout.status == S.PREPARING:
        return _first_step if _candidate_is_healthy(rollout) else None
    if rollout.status == S.PROMOTING:
        return _bake
    if rollout.next_at is None or rollout.next_at > now:
        return None
    return {S.STEP: advance, S.BAKING: _succeed}.get(RolloutStatus(rollout.status))


def _trouble(rollout: Rollout, now: dt.datetime) -> str:
    """Return the hard reason to roll back, if there is one."""
    at = rollout.paused_from or rollout.status
    if at != S.PENDING and (problem := _server_trouble(rollout)):
        return problem
    if at != S.BAKING and rollout.deadline_at <= now:
        return "deadline exceeded"
    return ""


def _server_trouble(rollout: Rollout) -> str:
    """Look at the candidate's newest server: it must run, or be on its way."""
    server = _candidate_server(rollout)
    name = rollout.version.full_name
    if server is None:
        return f"{name} has no server"
    if server.status == ServerStatus.CRASH_LOOP:
        return f"the server of {name} keeps crashing: {server.message}"
    if server.status in (ServerStatus.FAILED, ServerStatus.STOPPED):
        return f"the server of {name} {server.status}: {server.message}"
    return ""


def _candidate_server(rollout: Rollout) -> ModelServer | None:
    servers = rollout.endpoint.servers.filter(version=rollout.version)
    return servers.order_by("created_at").last()


def _candidate_is_healthy(rollout: Rollout) -> bool:
    return traffic.is_healthy(rollout.endpoint, rollout.version)


# --- the way forward -------------------------------------------------------------


def prepare(rollout: Rollout) -> None:
    """Have the candidate's server run."""
    transition(rollout, S.PREPARING)
    traffic.want_server(rollout.endpoint, rollout.version)


def _first_step(rollout: Rollout) -> None:
    """Give the healthy candidate its first share; without a canary, everything."""
    if rollout.kind != RolloutKind.CANARY or rollout.steps[0]["weight"] == FULL_WEIGHT:
        promote(rollout)
        return
    transition(rollout, S.STEP)
    _enter_step(rollout, 0)


def advance(rollout: Rollout, *, principal: User | None = None) -> None:
    """Go from one step to the next: a weight, a pause, or all traffic."""
    following = rollout.step + 1
    step = rollout.steps[following]
    if "pause" in step:
        _set(rollout, step=following)
        hold(rollout, "the plan pauses here", principal=principal)
    elif step["weight"] == FULL_WEIGHT:
        promote(rollout, principal=principal)
    else:
        _enter_step(rollout, following, principal)


def _enter_step(rollout: Rollout, at: int, principal: User | None = None) -> None:
    weight = int(rollout.steps[at]["weight"])
    traffic.shift(rollout.endpoint, rollout.version, weight, rollout.from_version)
    _set(rollout, step=at, **_timer(rollout, at))
    record(EventType.ROLLOUT_STEPPED, rollout, principal, step=at, weight=weight)


def promote(rollout: Rollout, *, principal: User | None = None) -> None:
    """Give the candidate all traffic; the version before stays warm at 0."""
    last = len(rollout.steps) - 1
    transition(rollout, S.PROMOTING, step=last, paused_from="", next_at=None)
    rest = rollout.from_version
    traffic.want_server(rollout.endpoint, rollout.version)
    traffic.shift(rollout.endpoint, rollout.version, FULL_WEIGHT, rest)
    record(EventType.ROLLOUT_PROMOTED, rollout, principal, weight=FULL_WEIGHT)


def _bake(rollout: Rollout) -> None:
    """Watch the new version under all traffic; only a canary has a way back."""
    is_canary = rollout.kind == RolloutKind.CANARY
    seconds = rollout.plan["bake_seconds"] if is_canary else 0
    until = timezone.now() + dt.timedelta(seconds=seconds)
    transition(rollout, S.BAKING, next_at=until)
    traffic.touch(rollout.endpoint)


def _succeed(rollout: Rollout) -> None:
    """End well: keep the version before warm for a while, let the others go."""
    now = timezone.now()
    transition(rollout, S.SUCCEEDED, ended_at=now, next_at=None)
    endpoint, kept = rollout.endpoint, {rollout.version}
    if rollout.from_version is not None and rollout.kind == RolloutKind.CANARY:
        kept.add(rollout.from_version)
        warm = dt.timedelta(seconds=rollout.plan["keep_warm_seconds"])
        traffic.keep_server_warm(endpoint, rollout.from_version, now + warm)
    for route in endpoint.routes.select_related("version"):
        if route.version not in kept:
            traffic.drop_route(endpoint, route.version)
            traffic.unwant_server(endpoint, route.version)
    traffic.touch(endpoint)
    record(EventType.ROLLOUT_COMPLETED, rollout, None)


# --- pause ------------------------------------------------------------------------


def hold(rollout: Rollout, reason: str, *, principal: User | None = None) -> None:
    """Pause, remembering where. Raises Conflict where there is no pausing."""
    transition(
        rollout,
        S.PAUSED,
        paused_from=rollout.status,
        reason=reason,
        next_at=None,
    )
    record(EventType.ROLLOUT_PAUSED, rollout, principal, reason=reason)


def resume(rollout: Rollout, *, principal: User | None = None) -> None:
    """Go back to where the pause began; a pause of the plan is over with it."""
    record(EventType.ROLLOUT_RESUMED, rollout, principal)
    came_from = rollout.paused_from
    if came_from == S.STEP:
        resume_step(rollout)
        if "pause" in rollout.steps[rollout.step]:
            advance(rollout, principal=principal)
        return
    bake = dt.timedelta(seconds=rollout.plan["bake_seconds"])
    next_at = timezone.now() + bake if came_from == S.BAKING else None
    transition(rollout, came_from, paused_from="", reason="", next_at=next_at)


def resume_step(rollout: Rollout) -> None:
    """Go back into the step, with its time anew."""
    timer = _timer(rollout, rollout.step)
    transition(rollout, S.STEP, paused_from="", reason="", **timer)


# --- the way back -----------------------------------------------------------------


def begin_rollback(
    rollout: Rollout, reason: str, *, principal: User | None = None
) -> None:
    """Take the traffic from the candidate, whatever else may be wrong."""
    changes = {"reason": reason, "aborted_by": principal, "paused_from": ""}
    transition(rollout, S.ROLLING_BACK, next_at=None, **changes)
    _give_back(rollout)
    record(EventType.ROLLOUT_ABORTED, rollout, principal, reason=reason)


def finish_rollback(rollout: Rollout) -> None:
    """Point the alias back, let the candidate's server go, and end."""
    refusal = _restore_alias(rollout)
    reason = f"{rollout.reason}; {refusal}" if refusal else rollout.reason
    _end_rolled_back(rollout, reason)


def supersede(rollout: Rollout, *, by: ModelVersion) -> None:
    """End a rollout because the alias moved on: back, or done if it was baking."""
    if rollout.paused_from == S.BAKING:
        transition(rollout, S.BAKING, paused_from="")
    if rollout.status == S.BAKING:
        _succeed(rollout)
        return
    reason = f"superseded by {by.full_name}"
    if rollout.status != S.ROLLING_BACK:
        transition(rollout, S.ROLLING_BACK, reason=reason, paused_from="", next_at=None)
        _give_back(rollout)
    _end_rolled_back(rollout, rollout.reason)


def _give_back(rollout: Rollout) -> None:
    endpoint, before = rollout.endpoint, rollout.from_version
    if before is None:
        traffic.write_weights(endpoint, {})
        return
    traffic.want_server(endpoint, before)
    if endpoint.routes.filter(version=rollout.version).exists():
        traffic.shift(endpoint, rollout.version, 0, before)
    else:
        traffic.shift(endpoint, before, FULL_WEIGHT, None)


def _end_rolled_back(rollout: Rollout, reason: str) -> None:
    transition(rollout, S.ROLLED_BACK, reason=reason, ended_at=timezone.now())
    traffic.drop_route(rollout.endpoint, rollout.version)
    traffic.unwant_server(rollout.endpoint, rollout.version)
    record(EventType.ROLLOUT_ROLLED_BACK, rollout, rollout.aborted_by, reason=reason)


def _restore_alias(rollout: Rollout) -> str:
    """Point the alias back, unless it points elsewhere by now; return a refusal."""
    endpoint, before = rollout.endpoint, rollout.from_version
    alias = registry.get_alias(endpoint.model, endpoint.alias)
    if before is None or alias is None or alias.version_id != rollout.version_id:
        return ""
    try:
        with transaction.atomic():
            approvals.restore_alias(
                endpoint.model,
                endpoint.alias,
                before,
                authority=endpoint,
                principal=rollout.aborted_by or endpoint.owner,
            )
    except DomainError as error:
        logger.warning("alias not restored", extra={"full_name": endpoint.full_name})
        return f"the alias stays: {error.message}"
    return ""


# --- small change -----------------------------------------------------------------


def _timer(rollout: Rollout, at: int) -> dict[str, Any]:
    """Return when a step began and when it may end."""
    now = timezone.now()
    seconds = int(rollout.steps[at].get("min_duration_seconds", 0))
    return {"step_started_at": now, "next_at": now + dt.timedelta(seconds=seconds)}


def _set(rollout: Rollout, **changes: Any) -> None:
    Rollout.objects.filter(pk=rollout.pk).update(**changes)
    for field, value in changes.items():
        setattr(rollout, field, value)


def record(
    event: EventType, rollout: Rollout, principal: User | None, **data: Any
) -> None:
    """Tell what happened to a rollout, as an event of its endpoint."""
    before = rollout.from_version
    emit(
        event,
        rollout.endpoint,
        principal=principal,
        rollout_id=rollout.pk,
        model=rollout.endpoint.model.full_name,
        version=rollout.version.number,
        digest=rollout.version.digest,
        from_version=before.number if before else None,
        **data,
    )
