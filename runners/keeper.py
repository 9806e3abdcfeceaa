"""Move the runs that should move: the sweep behind every doorbell.

Called five times a second by the keeper of each worker; with nothing active it
costs one query. Several keepers are harmless: every change is conditional.
"""

from __future__ import annotations

import datetime as dt
import logging
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from core.errors import Conflict
from events.relay import ring
from runners import lifecycle
from runners.attempts import FINALIZER_LOCK, directory_of, remove_tree
from runners.launch import this_host
from runners.lifecycle import FINALIZE, LAUNCH, LEASE
from runners.models import Attempt, FailureClass, LogChunk, Run, RunStatus
from runners.models.runs import ACTIVE

logger = logging.getLogger(__name__)

_RING_QUEUED_AFTER = dt.timedelta(seconds=4)
# between the claim and the lock that the launcher takes next
_CLAIM_GRACE = dt.timedelta(seconds=5)
_RENEW_BELOW = dt.timedelta(seconds=50)
_HOST_GONE_AFTER = dt.timedelta(minutes=15)
_MAX_BACKOFF_SECONDS = 300


def move_runs() -> None:
    """Look at every active run once and do what is due."""
    runs = list(lifecycle.rows().filter(status__in=ACTIVE).order_by("created_at"))
    if not runs:
        return
    current = Attempt.objects.filter(run__in=runs, number=F("run__attempt_number"))
    attempts = {attempt.run_id: attempt for attempt in current}
    for run in runs:
        try:
            _look_at(run, attempts.get(run.pk))
        except Conflict:
            continue  # another keeper was first
        except Exception:
            logger.exception("run could not be moved", extra={"run_id": str(run.pk)})
    _renew_leases(runs, attempts)


def _look_at(run: Run, attempt: Attempt | None) -> None:
    if run.status == RunStatus.QUEUED:
        _ring_if_due(run, LAUNCH, _RING_QUEUED_AFTER)
    elif attempt is None:
        raise RuntimeError(f"Run {run.pk} is {run.status} without an attempt.")
    elif attempt.host != this_host():
        _judge_other_host(run, attempt)
    elif run.status == RunStatus.FINALIZING:
        if not directory_of(attempt).is_held(FINALIZER_LOCK):
            backoff = min(2**run.finalize_tries, _MAX_BACKOFF_SECONDS)
            _ring_if_due(run, FINALIZE, dt.timedelta(seconds=backoff))
    else:
        _watch(run, attempt)


def _ring_if_due(run: Run, task: str, after: dt.timedelta) -> None:
    """Ring again for a row whose message may be lost; one keeper of many rings."""
    now = timezone.now()
    if now - run.rung_at < after:
        return
    same = Run.objects.filter(pk=run.pk, status=run.status, rung_at=run.rung_at)
    if same.update(rung_at=now):
        ring(task, str(run.pk))


def _watch(run: Run, attempt: Attempt) -> None:
    """Follow an attempt on this host: alive, ended, or lost."""
    directory = directory_of(attempt)
    if directory.is_held():
        copy_log(attempt)
        if run.cancel_requested_at:
            directory.ask_to_cancel()
        return
    ending = directory.exit()  # written before the lock was let go
    if ending is not None:
        pid = (directory.read("shim.json") or {}).get("pid")
        lifecycle.end_training(run, attempt, {**ending, "pid": pid})
    elif timezone.now() - attempt.created_at > _CLAIM_GRACE or attempt.started_at:
        directory.kill_leftovers()
        copy_log(attempt)
        lifecycle.lose_attempt(run, attempt)
        remove_tree(directory.path)


def _judge_other_host(run: Run, attempt: Attempt) -> None:
    """Give up an attempt whose host stopped renewing its lease."""
    lease = run.lease_until or attempt.created_at
    if run.status == RunStatus.FINALIZING:
        if timezone.now() - lease > _HOST_GONE_AFTER:
            summary = f"The host {attempt.host} went away with the trained model."
            lifecycle.end_failed(run, FailureClass.INFRA_LOST, summary)
    elif lease < timezone.now():
        lifecycle.lose_attempt(run, attempt)


def _renew_leases(runs: list[Run], attempts: dict[UUID, Attempt]) -> None:
    """Tell other hosts that this one is alive: one statement, each ten seconds."""
    now = timezone.now()
    mine = [
        run.pk
        for run in runs
        if run.status != RunStatus.QUEUED
        and run.pk in attempts
        and attempts[run.pk].host == this_host()
        and (run.lease_until is None or run.lease_until < now + _RENEW_BELOW)
    ]
    if mine:
        active = Run.objects.filter(pk__in=mine, status__in=ACTIVE)
        active.update(lease_until=now + LEASE)


def copy_log(attempt: Attempt) -> bool:
    """Copy the next bytes of an attempt's log; tell whether there were any.

    Guarded by the offset: two keepers at once leave no gap and no double.
    """
    try:
        with directory_of(attempt).log.open("rb") as log:
            log.seek(attempt.log_offset)
            data = log.read(LogChunk.MAX_BYTES)
    except FileNotFoundError:
        return False
    if not data:
        return False
    seen = Attempt.objects.filter(pk=attempt.pk, log_offset=attempt.log_offset)
    with transaction.atomic():
        if seen.update(log_offset=attempt.log_offset + len(data)):
            LogChunk.objects.create(
                attempt=attempt, offset=attempt.log_offset, data=data
            )
    attempt.refresh_from_db(fields=["log_offset"])
    return True
