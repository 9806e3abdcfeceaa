"""Rollouts: start one, steer it, and move it on by what the rows say.

Every change of a rollout, with its weights, servers and event, is one
transaction that bumps `revision`. Processes and Envoy follow from the rows.
"""

from __future__ import annotations

import datetime as dt
import uuid

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from access.authz import require
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from core.errors import Conflict, NotFound
from events.models import Event
from events.types import EventType
from registry import services as registry
from registry.models import ModelVersion
from serving.models import Endpoint, Rollout, RolloutKind, RolloutStatus
from serving.services import machine, traffic

S = RolloutStatus
_RELATED = (
    "endpoint__schema__catalog",
    "endpoint__owner",
    "endpoint__model",
    "version__model",
    "from_version__model",
    "aborted_by",
)


def get_rollout(rollout_id: uuid.UUID) -> Rollout:
    """Return a rollout with its endpoint. Raises NotFound."""
    found = rollouts().filter(pk=rollout_id).first()
    if found is None:
        raise NotFound(f"No rollout {rollout_id} that you may see.")
    return found


def rollouts() -> QuerySet[Rollout]:
    """Return all rollouts, with what the machine reads of each."""
    return Rollout.objects.select_related(*_RELATED)


@transaction.atomic
def start_rollout(
    endpoint: Endpoint, version: ModelVersion, event: Event | None
) -> Rollout | None:
    """Begin to move an endpoint's traffic to a version; the machine does the rest.

    Nothing happens when the version has the traffic already, or is on its way.
    A rollout to another version is superseded. The same event starts one only once.
    """
    traffic.lock_endpoint(endpoint)
    if event is not None:
        earlier = rollouts().filter(endpoint=endpoint, event_id=event.pk).first()
        if earlier is not None:
            return earlier
    if superseded := _lock_active(endpoint):
        if superseded.version == version and superseded.status != S.ROLLING_BACK:
            return superseded
        machine.supersede(superseded, by=version)
    champion = traffic.champion_of(endpoint)
    if champion == version:
        return None
    kind = RolloutKind.CANARY if champion else RolloutKind.INITIAL
    return _create(endpoint, version, kind, event=event)


def _create(
    endpoint: Endpoint,
    version: ModelVersion,
    kind: RolloutKind,
    *,
    event: Event | None = None,
    principal: User | None = None,
) -> Rollout:
    registry.hold_version(version)
    deadline = dt.timedelta(seconds=endpoint.plan["deadline_seconds"])
    rollout = Rollout.objects.create(
        endpoint=endpoint,
        version=version,
        from_version=traffic.champion_of(endpoint),
        kind=kind,
        plan=endpoint.plan,
        deadline_at=timezone.now() + deadline,
        event_id=event.pk if event else None,
    )
    traffic.touch(endpoint)
    machine.record(EventType.ROLLOUT_STARTED, rollout, principal, kind=kind)
    return rollout


def reconcile(rollout: Rollout) -> Rollout:
    """Move a rollout on by at most one transition, if the facts allow one.

    Any number of workers may call this at once: the revision lets one win, and
    for the others nothing happens. Returns the rollout as it is then.
    """
    action = machine.decide(rollout, timezone.now())
    if action is None:
        return rollout
    with transaction.atomic():
        traffic.lock_endpoint(rollout.endpoint)
        if machine.claim(rollout):
            action(rollout)
    return get_rollout(rollout.pk)


@transaction.atomic
def promote(rollout: Rollout, *, principal: User) -> Rollout:
    """Go to the next step now, from a step or from a pause between steps."""
    rollout = _lock(rollout, principal)
    if rollout.status == S.PAUSED and rollout.paused_from == S.STEP:
        machine.resume_step(rollout)
    if rollout.status != S.STEP:
        raise Conflict(f"The rollout is {rollout.status}; only a step can be promoted.")
    machine.advance(rollout, principal=principal)
    return rollout


@transaction.atomic
def promote_full(rollout: Rollout, *, principal: User) -> Rollout:
    """Skip the remaining steps: all traffic goes to the new version now."""
    rollout = _lock(rollout, principal)
    at = rollout.paused_from if rollout.status == S.PAUSED else rollout.status
    if at not in (S.PREPARING, S.STEP):
        raise Conflict(f"The rollout is {rollout.status}; it cannot be promoted.")
    if not traffic.is_healthy(rollout.endpoint, rollout.version):
        raise Conflict(f"The server of {rollout.version.full_name} is not ready yet.")
    machine.promote(rollout, principal=principal)
    return rollout


@transaction.atomic
def pause(rollout: Rollout, *, principal: User) -> Rollout:
    """Hold a rollout where it is; its weights stay."""
    rollout = _lock(rollout, principal)
    if rollout.status == S.PAUSED:
        return rollout
    machine.hold(rollout, f"paused by {principal.username}", principal=principal)
    return rollout


@transaction.atomic
def resume(rollout: Rollout, *, principal: User) -> Rollout:
    """Let a paused rollout go on; the time of its step begins anew."""
    rollout = _lock(rollout, principal)
    if rollout.status != S.PAUSED:
        raise Conflict(f"The rollout is {rollout.status}, not paused.")
    machine.resume(rollout, principal=principal)
    return rollout


def abort(rollout: Rollout, *, reason: str = "", principal: User) -> Rollout:
    """Give all traffic back to the version before, from whatever state.

    The weights commit first and alone, so nothing that fails later can keep a
    bad version in traffic. Then the alias is pointed back. Idempotent.
    Raises Conflict after success: that is what `rollback` is for.
    """
    with transaction.atomic():
        rollout = _lock(rollout, principal)
        if rollout.status == S.SUCCEEDED:
            raise Conflict("The rollout has succeeded; roll the endpoint back instead.")
        if rollout.is_active and rollout.status != S.ROLLING_BACK:
            why = reason or f"aborted by {principal.username}"
            machine.begin_rollback(rollout, why, principal=principal)
    return reconcile(get_rollout(rollout.pk)) if rollout.is_active else rollout


def rollback(endpoint: Endpoint, *, reason: str = "", principal: User) -> Rollout:
    """Return to the version that had the traffic before, without a canary.

    Its weights move at once when its server is still warm. The alias follows,
    provided the version is still approved. Raises Conflict when there is no
    version to return to, or a rollout is on its way (abort that one).
    """
    require(principal, Privilege.SHIFT_TRAFFIC, endpoint)
    active = traffic.active_rollout(endpoint)
    if active is not None and active.status == S.BAKING and active.from_version:
        return abort(active, reason=reason, principal=principal)
    with transaction.atomic():
        traffic.lock_endpoint(endpoint)
        if _lock_active(endpoint):
            raise Conflict("A rollout is on its way; abort it instead.")
        previous = _previous_version(endpoint)
        approvals.restore_alias(
            endpoint.model,
            endpoint.alias,
            previous,
            authority=endpoint,
            principal=principal,
        )
        rollout = _create(endpoint, previous, RolloutKind.ROLLBACK, principal=principal)
        rollout.reason = reason or f"rolled back by {principal.username}"
        Rollout.objects.filter(pk=rollout.pk).update(reason=rollout.reason)
        machine.prepare(rollout)
        if traffic.is_healthy(endpoint, previous):
            machine.promote(rollout, principal=principal)
    return get_rollout(rollout.pk)


def _previous_version(endpoint: Endpoint) -> ModelVersion:
    """Return what the champion replaced, seen past earlier rollbacks."""
    champion = traffic.champion_of(endpoint)
    arrival = (
        endpoint.rollouts.filter(version=champion, status=S.SUCCEEDED)
        .exclude(kind=RolloutKind.ROLLBACK)
        .select_related("from_version__model")
        .first()
    )
    if arrival is None or arrival.from_version is None:
        raise Conflict(f"{endpoint.full_name} has no earlier version to return to.")
    return arrival.from_version


def _lock(rollout: Rollout, principal: User) -> Rollout:
    """Check the right, hold the row, and count the change to come."""
    require(principal, Privilege.SHIFT_TRAFFIC, rollout.endpoint)
    traffic.lock_endpoint(rollout.endpoint)
    Rollout.objects.select_for_update().get(pk=rollout.pk)
    fresh = get_rollout(rollout.pk)
    if not machine.claim(fresh):
        raise Conflict("The rollout changed meanwhile; look again.")
    return fresh


def _lock_active(endpoint: Endpoint) -> Rollout | None:
    active = traffic.active_rollout(endpoint)
    if active is None:
        return None
    Rollout.objects.select_for_update().get(pk=active.pk)
    fresh = get_rollout(active.pk)
    if not fresh.is_active or not machine.claim(fresh):
        return None
    return fresh
