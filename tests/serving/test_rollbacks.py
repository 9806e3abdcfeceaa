"""Rollbacks after success, on rows alone: no process, no Envoy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from access.models import User
from core.errors import Conflict, NotFound
from registry import services as registry
from registry.models import ModelVersion
from serving import services as serving
from serving.models import (
    Endpoint,
    ModelServer,
    Rollout,
    RolloutStatus,
)
from tests.serving.conftest import (
    Move,
    make_healthy,
    settle,
    step,
    weights,
)

S = RolloutStatus
Make = Callable[..., ModelVersion]


def test_rollback_returns_at_once_to_the_warm_version(
    endpoint: Endpoint, canary: Rollout, steerer: User, stranger: User, owner: User
) -> None:
    settle(canary)
    with pytest.raises(NotFound):
        serving.rollback(endpoint, principal=stranger)

    rollout = serving.rollback(endpoint, principal=steerer)

    assert rollout.status == S.PROMOTING
    assert weights(endpoint) == {1: 10_000, 2: 0}
    alias = registry.get_alias(endpoint.model, "Champion")
    assert alias is not None
    assert alias.version is not None
    assert alias.version.number == 1
    assert settle(rollout).status == S.SUCCEEDED
    assert weights(endpoint) == {1: 10_000}
    with pytest.raises(Conflict, match="no earlier version"):
        serving.rollback(endpoint, principal=owner)


def test_rollback_starts_the_server_that_is_gone(
    endpoint: Endpoint, canary: Rollout, owner: User
) -> None:
    settle(canary)
    ModelServer.objects.filter(version__number=1).update(keep_until=timezone.now())
    serving.release_warm_servers()
    former = ModelServer.objects.get(version__number=1)
    serving.start_draining(former)
    serving.mark_stopped(former)

    rollout = serving.rollback(endpoint, principal=owner)
    assert rollout.status == S.PREPARING
    assert weights(endpoint) == {2: 10_000}

    make_healthy(rollout)
    step(rollout)
    assert weights(endpoint) == {1: 10_000, 2: 0}


def test_rollback_goes_one_version_further_each_time(
    endpoint: Endpoint, canary: Rollout, move: Move, make_version: Make, owner: User
) -> None:
    settle(canary)
    settle(move(make_version(endpoint.model, content="3")))

    settle(serving.rollback(endpoint, principal=owner))
    assert weights(endpoint)[2] == 10_000
    settle(serving.rollback(endpoint, principal=owner))

    assert weights(endpoint)[1] == 10_000


def test_rollback_is_refused_while_a_canary_runs(
    endpoint: Endpoint, canary: Rollout, owner: User
) -> None:
    with pytest.raises(Conflict, match="abort it"):
        serving.rollback(endpoint, principal=owner)


def test_rollback_while_baking_is_an_abort(
    endpoint: Endpoint, canary: Rollout, owner: User
) -> None:
    step(serving.promote_full(canary, principal=owner))

    assert serving.rollback(endpoint, principal=owner).status == S.ROLLED_BACK
    assert weights(endpoint) == {1: 10_000}
