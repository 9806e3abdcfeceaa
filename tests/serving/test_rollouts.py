"""The rollout machine, on rows alone: no process, no Envoy."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from core.errors import Conflict, NotFound, PermissionDenied
from events.models import Event
from events.types import EventType
from registry import services as registry
from registry.models import ModelVersion
from serving import services as serving
from serving.models import (
    Endpoint,
    ModelServer,
    Rollout,
    RolloutKind,
    RolloutStatus,
    ServerStatus,
)
from serving.services import traffic
from tests.serving.conftest import (
    Move,
    begin,
    fresh,
    make_healthy,
    settle,
    step,
    weights,
)

S = RolloutStatus
Make = Callable[..., ModelVersion]


def test_first_version_gets_all_traffic_at_once_when_healthy(
    endpoint: Endpoint, move: Move, version: ModelVersion
) -> None:
    rollout = step(move(version), 3)
    assert weights(endpoint) == {}

    make_healthy(rollout)
    rollout = step(rollout)

    assert (rollout.kind, rollout.status) == (RolloutKind.INITIAL, S.PROMOTING)
    assert weights(endpoint) == {1: 10_000}


def test_canary_gets_its_first_share_only_once_healthy(
    endpoint: Endpoint, move: Move, second: ModelVersion
) -> None:
    rollout = step(move(second), 3)
    assert weights(endpoint) == {1: 10_000}

    make_healthy(rollout)
    rollout = step(rollout)

    assert rollout.status == S.STEP
    assert weights(endpoint) == {1: 9000, 2: 1000}


def test_step_ends_only_after_its_time(endpoint: Endpoint, canary: Rollout) -> None:
    assert weights(endpoint) == {1: 9000, 2: 1000}
    step(canary, 3)
    assert weights(endpoint) == {1: 9000, 2: 1000}

    Rollout.objects.filter(pk=canary.pk).update(next_at=timezone.now())
    step(canary)

    assert weights(endpoint) == {1: 5000, 2: 5000}


def test_success_keeps_the_former_champion_warm_at_zero(
    endpoint: Endpoint, canary: Rollout
) -> None:
    rollout = settle(canary)

    assert rollout.status == S.SUCCEEDED
    assert weights(endpoint) == {1: 0, 2: 10_000}
    former = ModelServer.objects.get(version__number=1)
    assert former.wanted
    assert former.keep_until is not None


def test_warm_server_is_released_after_its_time(
    endpoint: Endpoint, canary: Rollout
) -> None:
    settle(canary)
    ModelServer.objects.filter(version__number=1).update(keep_until=timezone.now())

    serving.release_warm_servers()

    assert weights(endpoint) == {2: 10_000}
    assert not ModelServer.objects.get(version__number=1).wanted


def test_plan_pauses_until_someone_promotes(
    endpoint: Endpoint, move: Move, second: ModelVersion, owner: User
) -> None:
    steps = [{"weight": 1000, "min_duration_seconds": 0}, {"pause": True}]
    steps.append({"weight": 10_000, "min_duration_seconds": 0})
    Endpoint.objects.filter(pk=endpoint.pk).update(
        plan={**endpoint.plan, "steps": steps}
    )
    rollout = step(begin(move(second)), 5)
    assert rollout.status == S.PAUSED

    rollout = serving.promote(rollout, principal=owner)

    assert rollout.status == S.PROMOTING
    assert weights(endpoint) == {1: 0, 2: 10_000}


@pytest.mark.parametrize("command", ["promote", "promote_full", "pause", "abort"])
def test_owner_and_grantee_steer_a_rollout_and_a_stranger_does_not(
    command: str, canary: Rollout, owner: User, steerer: User, stranger: User
) -> None:
    act: Callable[..., Rollout] = getattr(serving, command)
    with pytest.raises(NotFound):
        act(canary, principal=stranger)
    assert fresh(canary).status == S.STEP

    act(fresh(canary), principal=steerer)
    serving.abort(fresh(canary), principal=owner)

    assert fresh(canary).status == S.ROLLED_BACK


def test_resume_needs_shift_traffic(
    canary: Rollout, owner: User, steerer: User, stranger: User
) -> None:
    paused = serving.pause(canary, principal=owner)
    with pytest.raises(NotFound):
        serving.resume(paused, principal=stranger)

    assert serving.resume(paused, principal=steerer).status == S.STEP
    again = serving.pause(fresh(canary), principal=steerer)
    assert serving.resume(again, principal=owner).status == S.STEP


def test_holder_of_query_alone_may_not_steer(
    canary: Rollout, endpoint: Endpoint, owner: User, grantee: User
) -> None:
    access.grant(endpoint, Privilege.QUERY, grantee, principal=owner)

    with pytest.raises(PermissionDenied) as refused:
        serving.abort(canary, principal=grantee)

    missing = {reason["missing"] for reason in refused.value.details["reasons"]}
    assert "SHIFT TRAFFIC" in missing


def test_pause_holds_a_step_beyond_its_time(
    endpoint: Endpoint, canary: Rollout, owner: User
) -> None:
    serving.pause(canary, principal=owner)
    step(canary, 3)
    assert weights(endpoint) == {1: 9000, 2: 1000}

    resumed = serving.resume(fresh(canary), principal=owner)

    assert resumed.next_at is not None
    assert resumed.next_at > timezone.now()


def test_promote_full_skips_the_steps(
    endpoint: Endpoint, canary: Rollout, owner: User
) -> None:
    serving.promote_full(canary, principal=owner)

    assert weights(endpoint) == {1: 0, 2: 10_000}


def test_promote_full_waits_for_a_healthy_server(
    move: Move, second: ModelVersion, owner: User
) -> None:
    rollout = step(move(second))

    with pytest.raises(Conflict):
        serving.promote_full(rollout, principal=owner)


def _at(status: str, rollout: Rollout, owner: User) -> Rollout:
    """Bring a fresh canary to a state."""
    if status == S.PENDING:
        return rollout
    if status == S.PREPARING:
        return step(rollout)
    rollout = begin(rollout)
    if status == S.PAUSED:
        return serving.pause(rollout, principal=owner)
    if status in (S.PROMOTING, S.BAKING):
        rollout = serving.promote_full(rollout, principal=owner)
    return step(rollout) if status == S.BAKING else rollout


@pytest.mark.parametrize(
    "status", [S.PENDING, S.PREPARING, S.STEP, S.PAUSED, S.PROMOTING, S.BAKING]
)
def test_abort_gives_all_traffic_back_from_every_state(
    status: str, endpoint: Endpoint, move: Move, second: ModelVersion, owner: User
) -> None:
    rollout = _at(status, move(second), owner)
    assert rollout.status == status

    ended = serving.abort(rollout, principal=owner)

    assert ended.status == S.ROLLED_BACK
    assert weights(endpoint) == {1: 10_000}
    alias = registry.get_alias(endpoint.model, "Champion")
    assert alias is not None
    assert alias.version_id == endpoint.routes.get().version_id
    assert not ModelServer.objects.filter(version=second, wanted=True).exists()


def test_abort_twice_is_abort_once(canary: Rollout, owner: User) -> None:
    serving.abort(canary, principal=owner)
    serving.abort(canary, principal=owner)

    assert Event.objects.filter(type=EventType.ROLLOUT_ABORTED).count() == 1


def test_abort_after_success_points_to_rollback(canary: Rollout, owner: User) -> None:
    settle(canary)

    with pytest.raises(Conflict, match="roll the endpoint back"):
        serving.abort(canary, principal=owner)


@pytest.mark.parametrize("status", [ServerStatus.FAILED, ServerStatus.CRASH_LOOP])
def test_broken_candidate_rolls_back_by_itself(
    status: str, endpoint: Endpoint, canary: Rollout
) -> None:
    ModelServer.objects.filter(version__number=2).update(status=status, message="boom")

    rollout = step(canary, 2)

    assert rollout.status == S.ROLLED_BACK
    assert "boom" in rollout.reason
    assert weights(endpoint) == {1: 10_000}


def test_deadline_rolls_back(endpoint: Endpoint, canary: Rollout) -> None:
    Rollout.objects.filter(pk=canary.pk).update(deadline_at=timezone.now())

    assert step(canary, 2).reason == "deadline exceeded"
    assert weights(endpoint) == {1: 10_000}


def test_failed_first_version_leaves_no_route(
    endpoint: Endpoint, move: Move, version: ModelVersion
) -> None:
    rollout = step(move(version))
    serving.mark_failed(ModelServer.objects.get(), "cannot load")

    assert step(rollout, 2).status == S.ROLLED_BACK
    assert weights(endpoint) == {}


def test_three_crashes_are_a_loop(canary: Rollout) -> None:
    for _ in range(3):
        serving.mark_crashed(ModelServer.objects.get(version__number=2), "killed")

    server = ModelServer.objects.get(version__number=2)
    assert server.status == ServerStatus.CRASH_LOOP
    assert Event.objects.filter(type=EventType.MODEL_SERVER_FAILED).count() == 1


def test_newer_version_supersedes_a_canary(
    endpoint: Endpoint, canary: Rollout, move: Move, make_version: Make
) -> None:
    third = make_version(endpoint.model, content="3")

    rollout = begin(move(third))

    assert fresh(canary).status == S.ROLLED_BACK
    assert fresh(canary).reason.startswith("superseded by")
    assert weights(endpoint) == {1: 9000, 3: 1000}
    assert rollout.from_version is not None
    assert rollout.from_version.number == 1


def test_newer_version_lets_a_baking_one_succeed(
    endpoint: Endpoint, canary: Rollout, move: Move, make_version: Make, owner: User
) -> None:
    step(serving.promote_full(canary, principal=owner))

    begin(move(make_version(endpoint.model, content="3")))

    assert fresh(canary).status == S.SUCCEEDED
    assert weights(endpoint) == {1: 0, 2: 9000, 3: 1000}


def test_alias_moved_back_ends_the_canary(
    endpoint: Endpoint, canary: Rollout, champion: ModelVersion, owner: User
) -> None:
    approvals.set_alias(endpoint.model, "Champion", champion, principal=owner)

    assert serving.start_rollout(endpoint, champion, None) is None
    assert fresh(canary).status == S.ROLLED_BACK
    assert weights(endpoint) == {1: 10_000}


def test_same_event_starts_one_rollout(
    endpoint: Endpoint, version: ModelVersion
) -> None:
    event = Event.objects.get(type=EventType.ENDPOINT_CREATED)

    first = serving.start_rollout(endpoint, version, event)
    second = serving.start_rollout(endpoint, version, event)

    assert first is not None
    assert first == second
    assert Rollout.objects.count() == 1


def test_endpoint_has_one_active_rollout(canary: Rollout) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Rollout.objects.create(
            endpoint=canary.endpoint,
            version=canary.version,
            kind=RolloutKind.CANARY,
            plan=canary.plan,
            deadline_at=timezone.now() + dt.timedelta(days=1),
        )


def test_weights_must_sum_to_all_traffic(
    endpoint: Endpoint, version: ModelVersion
) -> None:
    with pytest.raises(ValueError, match="do not sum"):
        traffic.write_weights(endpoint, {version.pk: 9999})


def test_every_transition_is_in_the_activity_of_the_endpoint(
    endpoint: Endpoint, canary: Rollout
) -> None:
    settle(canary)

    mine = Event.objects.filter(subject_id=endpoint.pk, data__rollout_id=str(canary.pk))
    assert list(mine.order_by("sequence").values_list("type", flat=True)) == [
        EventType.ROLLOUT_STARTED,
        EventType.ROLLOUT_STEPPED,
        EventType.ROLLOUT_STEPPED,
        EventType.ROLLOUT_PROMOTED,
        EventType.ROLLOUT_COMPLETED,
    ]


@pytest.mark.django_db(transaction=True)
def test_racing_workers_move_a_rollout_once(
    endpoint: Endpoint, canary: Rollout
) -> None:
    Rollout.objects.filter(pk=canary.pk).update(next_at=timezone.now())
    seen = [fresh(canary) for _ in range(8)]
    revision = seen[0].revision
    barrier = threading.Barrier(len(seen))

    def work(rollout: Rollout) -> None:
        barrier.wait()
        try:
            serving.reconcile(rollout)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(seen)) as pool:
        list(pool.map(work, seen))

    assert fresh(canary).revision == revision + 1
    assert weights(endpoint) == {1: 5000, 2: 5000}
    assert Event.objects.filter(type=EventType.ROLLOUT_STEPPED).count() == 2
