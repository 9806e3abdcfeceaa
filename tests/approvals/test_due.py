"""A request that only had to wait is applied when the time comes, once."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from django.db import connections

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals import tasks
from approvals.drafts import CheckRule, Draft
from approvals.models import ApprovalRequest
from events.models import Event
from registry import artifacts
from registry import services as registry
from registry.models import ModelVersion

Act = Callable[..., Any]
HOUR = 3600


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel("2026-07-17T12:00:00Z", tick=False) as travelled:
        yield travelled


@pytest.fixture
def waiting(
    clock: Any, version: ModelVersion, owner: User, reviewer: User, approve: Act
) -> ApprovalRequest:
    """An approved request that waits an hour for nothing but the time."""
    draft = Draft("Champion", wait_seconds=HOUR)
    approvals.put_policy(version.model, draft, principal=owner)
    approval = approvals.request_alias(
        version.model, "Champion", version, principal=owner
    )
    approve(approval, reviewer)
    return approval


def _sweep(approval: ApprovalRequest) -> str:
    tasks.apply_due()
    approval.refresh_from_db()
    return str(approval.status)


def test_it_is_applied_when_the_wait_is_over(
    waiting: ApprovalRequest, clock: Any
) -> None:
    clock.shift(HOUR - 1)
    assert _sweep(waiting) == "pending"
    clock.shift(1)
    assert _sweep(waiting) == "applied"
    assert _sweep(waiting) == "applied"
    applied = Event.objects.get(type="approval.applied")
    assert applied.actor_name != waiting.requester.username
    assert registry.get_alias(waiting.model, "Champion").version == waiting.version


def test_it_is_applied_when_the_freeze_is_over(
    clock: Any, version: ModelVersion, owner: User, reviewer: User, approve: Act
) -> None:
    afternoon = {"days": ["fri"], "from": "10:00", "to": "18:00", "zone": "UTC"}
    draft = Draft("Champion", freezes=(afternoon,))
    approvals.put_policy(version.model, draft, principal=owner)
    approval = approvals.request_alias(
        version.model, "Champion", version, principal=owner
    )
    approve(approval, reviewer)
    clock.move_to(dt.datetime(2026, 7, 17, 17, 59, 59, tzinfo=dt.UTC))
    assert _sweep(approval) == "pending"
    clock.shift(1)
    assert _sweep(approval) == "applied"


def test_approver_who_lost_the_right_meanwhile_does_not_count(
    waiting: ApprovalRequest, reviewer: User, admin: User, clock: Any
) -> None:
    access.revoke(waiting.model.schema, Privilege.APPROVE, reviewer, principal=admin)
    clock.shift(HOUR)
    assert _sweep(waiting) == "pending"
    assert waiting.unmet() == ["1 more approval by somebody with APPROVE"]


def test_bytes_that_changed_meanwhile_are_not_applied(
    waiting: ApprovalRequest, clock: Any
) -> None:
    path = artifacts.local_directory(waiting.version) / "weights.json"
    path.chmod(0o644)
    path.write_text("evil")
    clock.shift(HOUR)
    assert _sweep(waiting) == "invalidated"
    assert registry.get_alias(waiting.model, "Champion") is None


def test_alias_that_moved_meanwhile_needs_a_fresh_look(
    waiting: ApprovalRequest, make_version: Act, admin: User, clock: Any
) -> None:
    other = make_version(waiting.model, content="2")
    approvals.break_glass(
        waiting.model, "Champion", other, reason="it burns", principal=admin
    )
    clock.shift(HOUR)
    assert _sweep(waiting) == "pending"


def test_expiry_wins_over_a_wait(waiting: ApprovalRequest, clock: Any) -> None:
    clock.shift(8 * 86400)
    assert _sweep(waiting) == "expired"


def test_stale_check_is_waited_for(
    clock: Any,
    version: ModelVersion,
    owner: User,
    reviewer: User,
    approve: Act,
    use: Act,
    report: Act,
    grantee: User,
) -> None:
    use(grantee, Privilege.EXECUTE)
    draft = Draft(
        "Champion", wait_seconds=HOUR, checks=(CheckRule("drift", max_age_seconds=60),)
    )
    approvals.put_policy(version.model, draft, principal=owner)
    approval = approvals.request_alias(
        version.model, "Champion", version, principal=owner
    )
    report(approval, "drift", grantee)
    approve(approval, reviewer)
    clock.shift(HOUR)
    assert _sweep(approval) == "pending"
    report(approval, "drift", grantee)
    assert approval.status == "applied"


def test_tightened_expiry_ends_an_open_request_sooner(
    waiting: ApprovalRequest, owner: User, clock: Any
) -> None:
    draft = Draft("champion", expires_after_seconds=HOUR)
    policy = approvals.put_policy(waiting.model, draft, principal=owner)
    created = Event.objects.get(type="policy.created", subject_id=policy.pk)
    tasks.on_policy_created(str(created.id))
    waiting.refresh_from_db()
    assert waiting.expires_at == waiting.opened_at + dt.timedelta(hours=1)
    clock.shift(HOUR)
    assert _sweep(waiting) == "expired"


def test_policy_that_was_in_force_for_a_while_still_holds(
    waiting: ApprovalRequest, owner: User, clock: Any
) -> None:
    for checks in ((CheckRule("ci"),), ()):
        clock.shift(1)
        draft = Draft("Champion", checks=checks)
        approvals.put_policy(waiting.model, draft, principal=owner)
    assert "check ci has not reported" in waiting.unmet()


def test_tightening_is_told_once_on_each_open_request(
    waiting: ApprovalRequest, owner: User, clock: Any
) -> None:
    clock.shift(1)
    draft = Draft("Champion", checks=(CheckRule("ci"),))
    policy = approvals.put_policy(waiting.model, draft, principal=owner)
    created = Event.objects.get(type="policy.created", subject_id=policy.pk)
    for _ in range(2):
        tasks.on_policy_created(str(created.id))
    told = Event.objects.get(type="approval.policy_changed")
    assert told.subject_id == waiting.pk
    assert "check ci has not reported" in told.data["unmet"]


def test_policy_of_another_alias_changes_nothing(
    waiting: ApprovalRequest, owner: User
) -> None:
    policy = approvals.create_policy(waiting.model, "Staging", principal=owner)
    created = Event.objects.get(type="policy.created", subject_id=policy.pk)
    tasks.on_policy_created(str(created.id))
    assert not Event.objects.filter(type="approval.policy_changed").exists()


@pytest.mark.django_db(transaction=True)
def test_eight_keepers_apply_once(waiting: ApprovalRequest, clock: Any) -> None:
    clock.shift(HOUR)
    barrier = threading.Barrier(8)

    def keep() -> None:
        barrier.wait()
        try:
            tasks.apply_due()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=keep) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waiting.refresh_from_db()
    assert waiting.status == "applied"
    assert Event.objects.filter(type="approval.applied").count() == 1
    assert registry.get_alias(waiting.model, "Champion").generation == 1
