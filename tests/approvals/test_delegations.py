"""Deciding on behalf of a reviewer who is away."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
import time_machine
from django.utils import timezone

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import reads
from approvals import services as approvals
from approvals.models import ApprovalRequest, Decision, Delegation
from core.errors import Conflict, InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from registry.models import ModelVersion, Schema
from tests.factories import GroupFactory, UserFactory

Act = Callable[..., None]
DAY = dt.timedelta(days=1)


@pytest.fixture
def deputy(use: Act) -> User:
    """Somebody who sees the model and may decide on nothing."""
    user = UserFactory(username="deputy")
    use(user, Privilege.EXECUTE)
    return user


@pytest.fixture
def delegation(reviewer: User, deputy: User) -> Delegation:
    """The reviewer is away for a day, and deputy decides."""
    return _delegate(reviewer, deputy)


@pytest.fixture
def two(version: ModelVersion, owner: User) -> ApprovalRequest:
    """A request that needs two approvals."""
    approvals.create_policy(
        version.model, "Champion", approvals_needed=2, principal=owner
    )
    return approvals.request_alias(version.model, "Champion", version, principal=owner)


def _delegate(giver: User, to: User) -> Delegation:
    ends_at = timezone.now() + DAY
    return approvals.delegate_approvals(to, ends_at=ends_at, principal=giver)


def _approve_for(approval: ApprovalRequest, giver: User, principal: User) -> Decision:
    return approvals.decide(
        approval,
        "approve",
        digest=approval.digest,
        on_behalf_of=giver,
        principal=principal,
    )


def test_delegate_decides_with_the_right_of_the_reviewer(
    approval: ApprovalRequest, delegation: Delegation, reviewer: User, deputy: User
) -> None:
    decision = _approve_for(approval, reviewer, deputy)
    approval.refresh_from_db()
    assert approval.status == "applied"
    assert (decision.approver, decision.on_behalf_of) == (deputy, reviewer)
    assert decision.delegation == delegation
    event = Event.objects.get(type="approval.decided")
    assert (event.actor_name, event.data["on_behalf_of"]) == ("deputy", "approver")


def test_rejection_on_behalf_names_both(
    approval: ApprovalRequest, delegation: Delegation, reviewer: User, deputy: User
) -> None:
    approvals.decide(
        approval,
        "reject",
        digest=approval.digest,
        on_behalf_of=reviewer,
        principal=deputy,
    )
    approval.refresh_from_db()
    assert approval.closing_reason == "Rejected by deputy on behalf of approver."


def test_without_a_delegation_nobody_speaks_for_another(
    approval: ApprovalRequest, reviewer: User, deputy: User, stranger: User
) -> None:
    with pytest.raises(PermissionDenied, match="has not delegated"):
        _approve_for(approval, reviewer, deputy)
    _delegate(reviewer, stranger)
    with pytest.raises(NotFound):
        _approve_for(approval, reviewer, stranger)


def test_delegation_is_over_when_it_ends(
    approval: ApprovalRequest, delegation: Delegation, reviewer: User, deputy: User
) -> None:
    with (
        time_machine.travel(delegation.ends_at, tick=False),
        pytest.raises(PermissionDenied, match="not for now"),
    ):
        _approve_for(approval, reviewer, deputy)


def test_decision_made_in_time_counts_after_the_end(
    two: ApprovalRequest, delegation: Delegation, reviewer: User, deputy: User, use: Act
) -> None:
    _approve_for(two, reviewer, deputy)
    with time_machine.travel(delegation.ends_at, tick=False):
        assert two.unmet() == ["1 more approval by somebody with APPROVE"]


def test_revoked_delegation_strikes_out_its_decisions(
    two: ApprovalRequest, delegation: Delegation, reviewer: User, deputy: User
) -> None:
    _approve_for(two, reviewer, deputy)
    approvals.revoke_delegation(delegation, principal=reviewer)
    assert two.unmet() == ["2 more approvals by somebody with APPROVE"]
    with pytest.raises(PermissionDenied, match="has not delegated"):
        _approve_for(two, reviewer, deputy)
    assert Event.objects.filter(type="delegation.revoked").count() == 1


def test_delegator_who_lost_the_right_has_none_to_lend(
    two: ApprovalRequest,
    delegation: Delegation,
    reviewer: User,
    deputy: User,
    admin: User,
    schema: Schema,
) -> None:
    access.revoke(schema, Privilege.APPROVE, reviewer, principal=admin)
    with pytest.raises(PermissionDenied, match="approver lacks APPROVE"):
        _approve_for(two, reviewer, deputy)


def test_delegation_gives_no_way_round_four_eyes(
    approval: ApprovalRequest, owner: User, reviewer: User
) -> None:
    _delegate(reviewer, owner)
    with pytest.raises(PermissionDenied, match="asked for it"):
        _approve_for(approval, reviewer, owner)
    _delegate(owner, reviewer)
    with pytest.raises(PermissionDenied, match="asked for it"):
        _approve_for(approval, owner, reviewer)


def test_delegation_is_not_passed_on(
    approval: ApprovalRequest, delegation: Delegation, reviewer: User, deputy: User, use
) -> None:
    third = UserFactory(username="third")
    use(third, Privilege.EXECUTE)
    _delegate(deputy, third)
    with pytest.raises(PermissionDenied, match="has not delegated"):
        _approve_for(approval, reviewer, third)
    with pytest.raises(PermissionDenied, match="deputy lacks APPROVE"):
        _approve_for(approval, deputy, third)


def test_one_person_with_two_voices_counts_once(
    two: ApprovalRequest, reviewer: User, use: Act, approve: Act
) -> None:
    second = UserFactory(username="second")
    use(second, Privilege.APPROVE)
    _delegate(reviewer, second)
    approve(two, second)
    _approve_for(two, reviewer, second)
    two.refresh_from_db()
    assert two.status == "pending"
    assert two.decisions.count() == 2
    assert two.unmet() == ["1 more approval by somebody with APPROVE"]


def test_reviewer_and_delegate_are_one_vote(
    two: ApprovalRequest,
    delegation: Delegation,
    reviewer: User,
    deputy: User,
    approve: Act,
) -> None:
    _approve_for(two, reviewer, deputy)
    with pytest.raises(Conflict, match="approver already decided"):
        approve(two, reviewer)
    assert two.decisions.count() == 1


def test_delegator_takes_back_what_was_decided_for_them(
    two: ApprovalRequest, delegation: Delegation, reviewer: User, deputy: User, approve
) -> None:
    decision = _approve_for(two, reviewer, deputy)
    approvals.revoke_decision(decision, principal=reviewer)
    assert decision.cleared_because == "approver took it back"
    approve(two, reviewer)
    assert two.unmet() == ["1 more approval by somebody with APPROVE"]


def test_same_decision_on_behalf_again_is_a_replay(
    two: ApprovalRequest, delegation: Delegation, reviewer: User, deputy: User
) -> None:
    first, again = (_approve_for(two, reviewer, deputy) for _ in range(2))
    assert (first, again.is_replay) == (again, True)


def test_inbox_shows_what_one_may_decide_for_others(
    two: ApprovalRequest, delegation: Delegation, reviewer: User, deputy: User
) -> None:
    rows = reads.visible_requests(deputy)
    assert list(reads.requests_waiting_for(deputy, rows)) == [two]
    _approve_for(two, reviewer, deputy)
    assert list(reads.requests_waiting_for(deputy, rows)) == []


@pytest.mark.parametrize("days", [-1, 0, 93])
def test_period_that_makes_no_sense_is_refused(
    reviewer: User, deputy: User, days: int
) -> None:
    with pytest.raises(InvalidParameter, match="ends_at"):
        approvals.delegate_approvals(
            deputy, ends_at=timezone.now() + days * DAY, principal=reviewer
        )


def test_only_persons_delegate_and_to_other_persons(
    reviewer: User, deputy: User, admin: User
) -> None:
    robot = access.create_service_principal("robot", reviewer, principal=admin)
    switched_off = UserFactory(is_active=False)
    for giver, to in (
        (reviewer, reviewer),
        (reviewer, GroupFactory()),
        (reviewer, robot),
        (robot, deputy),
        (reviewer, switched_off),
    ):
        with pytest.raises(InvalidParameter, match="delegate"):
            _delegate(giver, to)
    assert not Delegation.objects.exists()


def test_parties_and_admins_end_a_delegation_and_nobody_else(
    reviewer: User, deputy: User, admin: User, stranger: User
) -> None:
    for ender in (reviewer, deputy, admin):
        made = _delegate(reviewer, deputy)
        with pytest.raises(PermissionDenied):
            approvals.revoke_delegation(made, principal=stranger)
        ended = approvals.revoke_delegation(made, principal=ender)
        assert ended.revoked_by == ender
    with pytest.raises(NotFound):
        approvals.get_delegation(made.id, principal=stranger)
