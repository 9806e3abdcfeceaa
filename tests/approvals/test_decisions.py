"""Approving and rejecting: what counts, and what moves the alias."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import time_machine
from django.utils import timezone

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals import tasks
from approvals.models import ApprovalRequest, Decision, Policy
from core.errors import Conflict, InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel
from tests.approvals.looks import champion, tamper, types
from tests.factories import GroupFactory, MembershipFactory, UserFactory

Act = Callable[..., None]


def _share_with(model: RegisteredModel, person: User) -> None:
    """Make a group of the owner and another person the owner."""
    group = GroupFactory(username="team")
    for member in (model.owner, person):
        MembershipFactory(group=group, member=member)
    RegisteredModel.objects.filter(pk=model.pk).update(owner=group)


def test_approval_moves_the_alias_by_the_right_of_the_requester(
    approval: ApprovalRequest, reviewer: User, approve: Act, owner: User
) -> None:
    approve(approval, reviewer)
    assert approval.status == "applied"
    assert approval.unmet() == []
    alias = registry.get_alias(approval.model, "Champion")
    assert (alias.version, alias.set_by) == (approval.version, owner)
    assert types() == [
        "approval.requested",
        "approval.decided",
        "approval.approved",
        "alias.set",
        "approval.applied",
    ]


def test_reject_closes_the_request(approval: ApprovalRequest, reviewer: User) -> None:
    approvals.decide(
        approval, "reject", digest=approval.digest, comment="no", principal=reviewer
    )
    approval.refresh_from_db()
    assert approval.status == "rejected"
    assert approval.closing_reason == "Rejected by approver: no"
    assert champion(approval) is None


def test_unknown_verdict_is_refused(approval: ApprovalRequest, reviewer: User) -> None:
    with pytest.raises(InvalidParameter, match="approve or reject"):
        approvals.decide(approval, "maybe", digest=approval.digest, principal=reviewer)


# --- who -----------------------------------------------------------------------


def test_requester_who_owns_the_model_cannot_approve(
    approval: ApprovalRequest, owner: User, approve: Act
) -> None:
    with pytest.raises(PermissionDenied, match="asked for it") as refusal:
        approve(approval, owner)
    assert refusal.value.details["unmet"] == approval.unmet()
    assert not Decision.objects.exists()


def test_owner_of_the_model_cannot_approve_the_request_of_another(
    approval: ApprovalRequest, reviewer: User, approve: Act
) -> None:
    _share_with(approval.model, reviewer)
    with pytest.raises(PermissionDenied, match=r"owns prod\.fraud\.scorer"):
        approve(ApprovalRequest.objects.get(), reviewer)


def test_person_who_started_the_training_cannot_approve(
    model: RegisteredModel,
    policy: Policy,
    owner: User,
    reviewer: User,
    tmp_path,
    approve,
) -> None:
    from tests.conftest import MLMODEL

    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").write_text(MLMODEL)
    version = registry.create_version_from_directory(
        model, tmp_path / "m", on_behalf_of=reviewer, principal=owner
    )
    approval = approvals.request_alias(model, "Champion", version, principal=owner)
    with pytest.raises(PermissionDenied, match=r"made prod\.fraud\.scorer/1"):
        approve(approval, reviewer)


def test_service_principal_of_the_author_cannot_approve(
    approval: ApprovalRequest, owner: User, admin: User, use: Act, approve: Act
) -> None:
    robot = access.create_service_principal("robot", owner, principal=admin)
    use(robot, Privilege.APPROVE)
    with pytest.raises(PermissionDenied, match="asked for it"):
        approve(approval, robot)


def test_service_principal_of_an_approver_may_approve(
    approval: ApprovalRequest, approver: User, admin: User, use: Act, approve: Act
) -> None:
    robot = access.create_service_principal("ci", approver, principal=admin)
    use(robot, Privilege.APPROVE)
    approve(approval, robot)
    assert approval.status == "applied"


def test_grantee_without_approve_is_told_what_is_missing(
    approval: ApprovalRequest, grantee: User, use: Act, approve: Act
) -> None:
    use(grantee, Privilege.ALL_PRIVILEGES)
    with pytest.raises(PermissionDenied, match="lacks APPROVE"):
        approve(approval, grantee)


def test_admin_without_approve_cannot_approve(
    approval: ApprovalRequest, admin: User, approve: Act
) -> None:
    with pytest.raises(PermissionDenied, match="lacks APPROVE"):
        approve(approval, admin)


def test_stranger_learns_nothing(
    approval: ApprovalRequest, stranger: User, approve: Act
) -> None:
    with pytest.raises(NotFound):
        approve(approval, stranger)


def test_only_listed_reviewers_decide(
    version: ModelVersion, owner: User, reviewer: User, grantee: User, use: Act, approve
) -> None:
    group = GroupFactory(username="risk")
    MembershipFactory(group=group, member=grantee)
    use(grantee, Privilege.APPROVE)
    approvals.create_policy(version.model, "a", reviewers=[group], principal=owner)
    approval = approvals.request_alias(version.model, "a", version, principal=owner)
    assert approval.unmet() == ["1 more approval by one of risk"]
    with pytest.raises(PermissionDenied, match="not among the reviewers"):
        approve(approval, reviewer)
    approve(approval, grantee)
    assert approval.status == "applied"


# --- how often, for what, when -------------------------------------------------


@pytest.fixture
def two(version: ModelVersion, owner: User) -> ApprovalRequest:
    """A request that needs two approvals."""
    approvals.create_policy(
        version.model, "Champion", approvals_needed=2, principal=owner
    )
    return approvals.request_alias(version.model, "Champion", version, principal=owner)


@pytest.fixture
def second(use: Act) -> User:
    """Another person with APPROVE."""
    user = UserFactory(username="second")
    use(user, Privilege.APPROVE)
    return user


def test_the_same_decision_again_is_answered_with_the_first(
    two: ApprovalRequest, reviewer: User, approve: Act
) -> None:
    first, again = (
        approvals.decide(two, "approve", digest=two.digest, principal=reviewer)
        for _ in range(2)
    )
    assert (first, first.is_replay, again.is_replay) == (again, False, True)
    assert types().count("approval.decided") == 1
    assert two.decisions.count() == 1


def test_another_verdict_of_the_same_person_is_a_conflict(
    two: ApprovalRequest, reviewer: User, approve: Act
) -> None:
    approve(two, reviewer)
    with pytest.raises(Conflict, match="already decided: approve"):
        approvals.decide(two, "reject", digest=two.digest, principal=reviewer)
    two.refresh_from_db()
    assert two.status == "pending"


def test_second_click_on_an_applied_request_is_answered_with_the_first(
    approval: ApprovalRequest, reviewer: User, approve: Act
) -> None:
    approve(approval, reviewer)
    approve(approval, reviewer)
    assert approval.decisions.count() == 1


def test_repeated_decision_of_somebody_who_lost_the_right_is_refused(
    two: ApprovalRequest, reviewer: User, admin: User, schema, approve: Act
) -> None:
    approve(two, reviewer)
    access.revoke(schema, Privilege.APPROVE, reviewer, principal=admin)
    access.grant(schema, Privilege.EXECUTE, reviewer, principal=admin)
    with pytest.raises(PermissionDenied, match="lacks APPROVE"):
        approve(two, reviewer)


def test_service_principal_is_no_second_person(
    two: ApprovalRequest, reviewer: User, admin: User, use: Act, approve: Act
) -> None:
    robot = access.create_service_principal("robot", reviewer, principal=admin)
    use(robot, Privilege.APPROVE)
    approve(two, reviewer)
    with pytest.raises(Conflict, match="already decided"):
        approve(two, robot)


def test_quorum_of_two_persons_applies(
    two: ApprovalRequest, reviewer: User, second: User, approve: Act
) -> None:
    approve(two, reviewer)
    assert (two.status, champion(two)) == ("pending", None)
    approve(two, second)
    assert (two.status, champion(two)) == ("applied", two.version)


def test_approver_who_lost_the_right_stops_counting(
    two: ApprovalRequest,
    reviewer: User,
    second: User,
    admin: User,
    approve: Act,
    schema,
) -> None:
    approve(two, reviewer)
    access.revoke(schema, Privilege.APPROVE, reviewer, principal=admin)
    approve(two, second)
    assert two.status == "pending"
    assert two.unmet() == ["1 more approval by somebody with APPROVE"]


def test_approver_switched_off_stops_counting(
    two: ApprovalRequest, reviewer: User, second: User, approve: Act
) -> None:
    approve(two, reviewer)
    User.objects.filter(pk=reviewer.pk).update(is_active=False)
    approve(two, second)
    assert two.status == "pending"


def test_approver_who_became_owner_stops_counting(
    two: ApprovalRequest, reviewer: User, second: User, approve: Act
) -> None:
    approve(two, reviewer)
    _share_with(two.model, reviewer)
    approve(ApprovalRequest.objects.get(), second)
    two.refresh_from_db()
    assert two.status == "pending"


def test_wrong_digest_is_a_conflict(approval: ApprovalRequest, reviewer: User) -> None:
    with pytest.raises(Conflict, match="not the digest"):
        approvals.decide(approval, "approve", digest="0" * 64, principal=reviewer)
    assert not Decision.objects.exists()


def test_bytes_changed_on_disk_invalidate_the_request(
    approval: ApprovalRequest, reviewer: User, approve: Act
) -> None:
    tamper(approval.version)
    with pytest.raises(Conflict, match="were changed on disk"):
        approve(approval, reviewer)
    approval.refresh_from_db()
    approval.version.refresh_from_db()
    assert approval.status == "invalidated"
    assert approval.version.tampered_at is not None
    assert champion(approval) is None
    assert types()[-1] == "approval.invalidated"
    assert Event.objects.filter(type="model_version.tampered").count() == 1


def test_tampering_found_by_others_invalidates_the_request(
    approval: ApprovalRequest, reviewer: User, approve: Act
) -> None:
    registry.report_tampering(approval.version, ["weights.json was changed"])
    with pytest.raises(Conflict, match="is invalidated"):
        approve(approval, reviewer)
    approval.refresh_from_db()
    assert approval.status == "invalidated"


def test_closed_request_takes_no_decision(
    approval: ApprovalRequest, reviewer: User, second: User, approve: Act
) -> None:
    approve(approval, reviewer)
    with pytest.raises(Conflict, match="is applied"):
        approve(approval, second)


def test_expired_request_takes_no_decision(
    approval: ApprovalRequest, reviewer: User, approve: Act
) -> None:
    with (
        time_machine.travel(approval.expires_at, tick=False),
        pytest.raises(Conflict, match="is expired"),
    ):
        approve(approval, reviewer)
    approval.refresh_from_db()
    assert approval.status == "expired"
    assert champion(approval) is None


def test_sweep_expires_what_is_due(approval: ApprovalRequest) -> None:
    tasks.expire_due()
    approval.refresh_from_db()
    assert approval.status == "pending"
    with time_machine.travel(approval.expires_at, tick=False):
        tasks.expire_due()
        tasks.expire_due()
    approval.refresh_from_db()
    assert (approval.status, approval.closed_at) == ("expired", approval.expires_at)
    assert types().count("approval.expired") == 1


def test_expired_request_makes_room_for_the_same_wish(
    approval: ApprovalRequest, owner: User
) -> None:
    ApprovalRequest.objects.update(expires_at=timezone.now())
    again = approvals.request_alias(
        approval.model, "Champion", approval.version, principal=owner
    )
    assert again != approval


def test_alias_that_moved_meanwhile_needs_a_fresh_look(
    two: ApprovalRequest,
    reviewer: User,
    second: User,
    owner: User,
    approve: Act,
    make_version: Callable[..., ModelVersion],
) -> None:
    approve(two, reviewer)
    other = make_version(two.model, content="2")
    registry.set_alias(two.model, "Champion", other, principal=owner)
    with pytest.raises(Conflict, match="moved since you looked"):
        approve(two, second)
    two.refresh_from_db()
    assert (two.status, two.previous_version) == ("pending", other)
    assert two.unmet() == ["2 more approvals by somebody with APPROVE"]
    assert types()[-1] == "approval.reset"
    approve(two, second)
    approve(two, reviewer)
    assert (two.status, champion(two)) == ("applied", two.version)


def test_tightened_policy_counts_for_open_requests(
    approval: ApprovalRequest, owner: User, reviewer: User, approve: Act
) -> None:
    approvals.create_policy(approval.model, "champion", checks=["ci"], principal=owner)
    approve(approval, reviewer)
    assert approval.status == "pending"
    assert approval.unmet() == ["check ci has not reported"]


def test_loosened_policy_does_not_help_an_open_request(
    two: ApprovalRequest, owner: User, reviewer: User, approve: Act
) -> None:
    approvals.create_policy(two.model, "Champion", approvals_needed=1, principal=owner)
    approve(two, reviewer)
    assert two.status == "pending"
