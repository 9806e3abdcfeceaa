"""A registration that is sent again, and one that is meant again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
import time_machine
from django.utils import timezone

from access.models import User
from access.privileges import Privilege
from registry import artifacts
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel

SOURCE = "models:/prod.fraud.scorer/1"


@pytest.fixture
def copies(version: ModelVersion, owner: User) -> RegisteredModel:
    """A model of the owner's, to register copies in."""
    return registry.create_model("prod.fraud.copies", principal=owner)


def register(model: RegisteredModel, principal: User, digest: str = "a") -> int:
    return registry.create_version(
        model, SOURCE, request_digest=digest, principal=principal
    ).number


def test_replay_is_answered_with_the_same_version(
    copies: RegisteredModel, owner: User
) -> None:
    assert [register(copies, owner) for _ in range(3)] == [1, 1, 1]
    assert copies.versions.count() == 1


def test_replay_leaves_no_second_copy(copies: RegisteredModel, owner: User) -> None:
    register(copies, owner)
    before = artifacts.store().files()
    register(copies, owner)
    assert artifacts.store().files() == before


def test_other_body_is_another_version(copies: RegisteredModel, owner: User) -> None:
    assert [register(copies, owner, digest) for digest in "abc"] == [1, 2, 3]


def test_after_ten_minutes_it_is_meant_again(
    copies: RegisteredModel, owner: User
) -> None:
    register(copies, owner)
    with time_machine.travel(timezone.now() + dt.timedelta(minutes=10, seconds=1)):
        assert register(copies, owner) == 2


def test_it_is_meant_again_when_the_caller_says_so_first(
    copies: RegisteredModel, owner: User
) -> None:
    register(copies, owner)
    registry.expect_new_version(copies, principal=owner)
    assert [register(copies, owner) for _ in range(2)] == [2, 2]


def test_nobody_speaks_for_another_caller(
    copies: RegisteredModel, owner: User, grantee: User, stranger: User
) -> None:
    register(copies, owner)
    for other in (grantee, stranger):
        registry.expect_new_version(copies, principal=other)
    assert register(copies, owner) == 1


@pytest.mark.parametrize("over", ["failed", "deleted"])
def test_what_came_to_nothing_is_tried_anew(
    copies: RegisteredModel, owner: User, over: str
) -> None:
    register(copies, owner)
    deleted_at = timezone.now() if over == "deleted" else None
    copies.versions.update(status=over, deleted_at=deleted_at)
    assert register(copies, owner) == 2


def test_same_body_of_another_caller_is_another_version(
    copies: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE)
    register(copies, owner)
    RegisteredModel.objects.filter(pk=copies.pk).update(owner=grantee)
    assert register(registry.get_model(copies.full_name), grantee) == 2
