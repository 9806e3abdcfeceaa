"""Random interleavings of all that can happen to requests: the invariants hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from access import services as access
from access.models import Membership, User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import Policy
from registry.models import ModelVersion, RegisteredModel, Schema
from tests.approvals.machine import ALIAS, World, machine_of
from tests.factories import UserFactory


def test_requests_hold_their_promises_in_any_order(
    model: RegisteredModel,
    schema: Schema,
    owner: User,
    admin: User,
    use: Callable[..., None],
    make_version: Callable[..., ModelVersion],
) -> None:
    reviewers = [UserFactory(username=f"reviewer{n}") for n in range(5)]
    group = access.create_group("risk", principal=admin)
    for one in reviewers:
        use(one, Privilege.APPROVE, Privilege.EXECUTE)
        access.add_member(group, one, principal=admin)
    Membership.objects.update(added_at=timezone.now() - dt.timedelta(days=30))
    approvals.create_policy(
        model, ALIAS, approvals_needed=2, reviewers=[group], principal=owner
    )
    assert Policy.objects.count() == 1
    world = World(
        model,
        schema,
        [make_version(model, content=content) for content in "12345678"],
        owner,
        admin,
        group,
        reviewers,
    )
    run_state_machine_as_test(
        machine_of(world),
        settings=settings(
            max_examples=12,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
