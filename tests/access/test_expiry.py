"""Grants with an end: nothing from that instant on, one event, and the row is gone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import time_machine
from django.utils import timezone

from access import services as access
from access.authz import is_allowed
from access.models import User
from access.privileges import Privilege
from access.tasks import expire_grants
from events.models import Event
from registry.models import ModelGrant, RegisteredModel

P = Privilege
HOUR = dt.timedelta(hours=1)


def test_the_sweep_removes_a_grant_at_its_instant_with_one_event(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    end = timezone.now() + HOUR
    access.grant(model, P.EXECUTE, grantee, expires_at=end, principal=owner)
    assert expire_grants() == 0

    with time_machine.travel(end, tick=False):
        assert not is_allowed(grantee, P.EXECUTE, model)
        assert expire_grants() == 1
        assert expire_grants() == 0

    event = Event.objects.get(type="grant.expired")
    assert event.subject_id == model.pk
    assert event.actor_name == "system"
    assert event.data["of"] == "grantee"
    assert event.data["privilege"] == "EXECUTE"
    assert not ModelGrant.objects.filter(user=grantee).exists()


def test_a_prolonged_grant_is_told_and_stays(
    model: RegisteredModel, owner: User, grantee: User
) -> None:
    end = timezone.now() + HOUR
    access.grant(model, P.EXECUTE, grantee, expires_at=end, principal=owner)
    access.grant(model, P.EXECUTE, grantee, expires_at=end + HOUR, principal=owner)
    with time_machine.travel(end, tick=False):
        assert expire_grants() == 0
    told = Event.objects.filter(type="grant.added", subject_id=model.pk)
    assert told.count() == 2


def test_granting_again_the_same_tells_nothing(
    model: RegisteredModel, owner: User, grantee: User
) -> None:
    access.grant(model, P.EXECUTE, grantee, principal=owner)
    access.grant(model, P.EXECUTE, grantee, principal=owner)
    told = Event.objects.filter(type="grant.added", subject_id=model.pk)
    assert told.count() == 1


def test_revoking_all_privileges_takes_what_it_implies_but_manage(
    model: RegisteredModel, owner: User, grantee: User
) -> None:
    for privilege in (P.ALL_PRIVILEGES, P.EXECUTE, P.MANAGE, P.APPROVE):
        access.grant(model, privilege, grantee, principal=owner)

    access.revoke(model, P.ALL_PRIVILEGES, grantee, principal=owner)

    left = ModelGrant.objects.filter(user=grantee)
    codenames = set(left.values_list("permission__codename", flat=True))
    assert codenames == {"manage", "approve"}
