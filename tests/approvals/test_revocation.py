"""Taking back a decision; what is struck out stays visible, with the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals import tasks
from approvals.gate import why_struck
from approvals.models import ApprovalRequest, Decision
from approvals.receipts import receipt
from core.errors import Conflict, NotFound, PermissionDenied
from events.models import Event
from registry import services as registry
from registry.models import ModelVersion, Schema
from tests.factories import GroupFactory, MembershipFactory, UserFactory

Act = Callable[..., None]


@pytest.fixture
def two(version: ModelVersion, owner: User) -> ApprovalRequest:
    """A request that needs two approvals."""
    approvals.create_policy(
        version.model, "Champion", approvals_needed=2, principal=owner
    )
    return approvals.request_alias(version.model, "Champion", version, principal=owner)


@pytest.fixture
def decision(two: ApprovalRequest, reviewer: User) -> Decision:
    """The reviewer's approval, of two that are needed."""
    return approvals.decide(two, "approve", digest=two.digest, principal=reviewer)


def _second(use: Act) -> User:
    user = UserFactory(username="second")
    use(user, Privilege.APPROVE)
    return user


def test_own_decision_is_taken_back_and_made_anew(
    decision: Decision, reviewer: User, approve: Act
) -> None:
    approvals.revoke_decision(decision, principal=reviewer)
    two = decision.request
    assert two.unmet() == ["2 more approvals by somebody with APPROVE"]
    assert decision.cleared_because == "approver took it back"
    event = Event.objects.get(type="approval.decision_revoked")
    assert event.data["decision_id"] == str(decision.id)
    approve(two, reviewer)
    assert two.unmet() == ["1 more approval by somebody with APPROVE"]
    assert two.decisions.count() == 2


def test_taking_back_twice_is_once(decision: Decision, reviewer: User) -> None:
    for _ in range(2):
        approvals.revoke_decision(decision, principal=reviewer)
    assert Event.objects.filter(type="approval.decision_revoked").count() == 1


def test_nobody_takes_back_for_others(
    decision: Decision, owner: User, stranger: User, use: Act
) -> None:
    for other in (owner, _second(use)):
        with pytest.raises(PermissionDenied, match="Only who made"):
            approvals.revoke_decision(decision, principal=other)
    with pytest.raises(NotFound):
        approvals.revoke_decision(decision, principal=stranger)
    decision.refresh_from_db()
    assert decision.cleared_at is None


def test_decision_on_a_closed_request_stays(
    approval: ApprovalRequest, reviewer: User
) -> None:
    made = approvals.decide(
        approval, "approve", digest=approval.digest, principal=reviewer
    )
    with pytest.raises(Conflict, match="is applied"):
        approvals.revoke_decision(made, principal=reviewer)


def test_lost_right_is_said_while_pending(
    decision: Decision, reviewer: User, admin: User, schema: Schema
) -> None:
    access.revoke(schema, Privilege.APPROVE, reviewer, principal=admin)
    assert why_struck(decision.request, decision) == (
        "approver lacks APPROVE on prod.fraud.scorer."
    )


def test_decision_that_does_not_count_is_struck_out_for_good_when_applied(
    decision: Decision, reviewer: User, admin: User, schema: Schema, use: Act, approve
) -> None:
    two = decision.request
    approve(two, _second(use))
    assert two.status == "applied"
    third, fourth = UserFactory.create_batch(2)
    for one in (third, fourth):
        use(one, Privilege.APPROVE)
    # two decisions, of which one lost its right before the third came
    other = _another_request(two)
    approvals.decide(other, "approve", digest=other.digest, principal=reviewer)
    access.revoke(schema, Privilege.APPROVE, reviewer, principal=admin)
    approve(other, third)
    assert other.status == "pending"
    approve(other, fourth)
    assert other.status == "applied"
    struck = other.decisions.get(person=reviewer)
    assert struck.cleared_because == "approver lacks APPROVE on prod.fraud.scorer."
    said = receipt(other.version)
    assert reviewer.username not in str(said)


def _another_request(approval: ApprovalRequest) -> ApprovalRequest:
    from registry import artifacts

    directory = artifacts.local_directory(approval.version)
    version = registry.create_version_from_directory(
        approval.model, directory, principal=approval.model.owner
    )
    return approvals.request_alias(
        approval.model, "Champion", version, principal=approval.model.owner
    )


def test_members_that_leave_the_owning_group_lose_their_requests(
    approval: ApprovalRequest, owner: User, admin: User
) -> None:
    group = GroupFactory(username="team")
    MembershipFactory(group=group, member=owner)
    access.transfer_ownership(approval.model, group, principal=owner)
    for event in Event.objects.filter(type="owner.transferred"):
        tasks.on_requester_changed(str(event.id))
    approval.refresh_from_db()
    assert approval.status == "pending"
    access.remove_member(group, owner, principal=admin)
    tasks.on_requester_changed(str(Event.objects.get(type="group.member_removed").id))
    approval.refresh_from_db()
    assert (approval.status, approval.closing_reason) == (
        "invalidated",
        "owner, who asked, owns the model no more.",
    )


def test_tampering_told_by_an_event_closes_the_request(
    approval: ApprovalRequest,
) -> None:
    registry.report_tampering(approval.version, ["weights.json was changed"])
    tasks.on_tampered(str(Event.objects.get(type="model_version.tampered").id))
    approval.refresh_from_db()
    assert approval.status == "invalidated"
