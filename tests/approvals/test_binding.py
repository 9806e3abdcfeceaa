"""What a request is bound to, and what a caller is told that saw something else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals import tasks
from approvals.binding import hash_of, parts_of
from approvals.lifecycle import settle
from approvals.models import ApprovalRequest
from core.errors import Conflict, InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from registry import services as registry
from registry.models import ModelVersion

Act = Callable[..., None]
PLAN = {"steps": [{"weight": 500, "min_duration_seconds": 60}]}


def _decide(approval: ApprovalRequest, binding: str, principal: User) -> None:
    approvals.decide(
        approval,
        "approve",
        digest=approval.digest,
        binding=binding,
        principal=principal,
    )


def _fresh(approval: ApprovalRequest) -> ApprovalRequest:
    return ApprovalRequest.objects.get(pk=approval.pk)


def test_request_is_bound_when_it_is_opened(approval: ApprovalRequest) -> None:
    assert approval.binding == hash_of(parts_of(approval))
    assert approval.bound_to["digest"] == approval.version.digest
    assert approval.bound_to["policies"] == [str(approval.policy_id)]
    event = Event.objects.get(type="approval.requested")
    assert event.data["binding"] == approval.binding


def test_binding_is_kept_on_the_decision(
    approval: ApprovalRequest, reviewer: User
) -> None:
    _decide(approval, approval.binding, reviewer)
    assert approval.decisions.get().binding == approval.binding
    assert _fresh(approval).status == "applied"


def test_unknown_binding_is_a_conflict(
    approval: ApprovalRequest, reviewer: User
) -> None:
    with pytest.raises(Conflict, match="never one of this request") as refusal:
        _decide(approval, "0" * 64, reviewer)
    assert refusal.value.details["binding"] == approval.binding
    assert not approval.decisions.exists()


def test_binding_from_before_a_policy_change_is_a_conflict(
    approval: ApprovalRequest, reviewer: User, owner: User
) -> None:
    seen = approval.binding
    approvals.create_policy(
        approval.model, "Champion", approvals_needed=2, principal=owner
    )
    with pytest.raises(Conflict, match="in force in number 2"):
        _decide(approval, seen, reviewer)
    assert Event.objects.filter(type="approval.policy_changed").count() == 1
    _decide(_fresh(approval), _fresh(approval).binding, reviewer)
    assert _fresh(approval).unmet() == ["1 more approval by somebody with APPROVE"]


def test_changed_policy_is_told_once_and_keeps_decisions(
    approval: ApprovalRequest, reviewer: User, owner: User, approve: Act
) -> None:
    approvals.create_policy(
        approval.model, "Champion", approvals_needed=2, principal=owner
    )
    approve(approval, reviewer)
    event = Event.objects.filter(type="policy.created").latest("sequence")
    tasks.on_policy_created(str(event.id))
    assert Event.objects.filter(type="approval.policy_changed").count() == 1
    assert _fresh(approval).decisions.get().cleared_at is None


def test_binding_from_before_the_alias_moved_is_a_conflict(
    approval: ApprovalRequest,
    reviewer: User,
    owner: User,
    make_version: Callable[..., ModelVersion],
) -> None:
    seen = approval.binding
    other = make_version(approval.model, content="2")
    registry.set_alias(approval.model, "Champion", other, principal=owner)
    settle(approval)
    with pytest.raises(Conflict, match="moved and points at version 2"):
        _decide(_fresh(approval), seen, reviewer)


# --- the rollout plan ------------------------------------------------------------


def test_plan_is_the_template_of_the_nearest_policy(
    version: ModelVersion, owner: User
) -> None:
    approvals.create_policy(version.model, "a", rollout_plan=PLAN, principal=owner)
    approval = approvals.request_alias(version.model, "a", version, principal=owner)
    assert approval.rollout_plan["steps"][0]["weight"] == 500
    assert approval.rollout_plan["bake_seconds"] == 30
    assert approval.bound_to["rollout_plan"] == approval.rollout_plan


def test_plan_that_nothing_could_follow_is_refused(
    approval: ApprovalRequest, owner: User
) -> None:
    for plan in ({"steps": []}, {"speed": 1}):
        with pytest.raises(InvalidParameter, match="plan"):
            approvals.request_alias(
                approval.model,
                "Champion",
                approval.version,
                rollout_plan=plan,
                principal=owner,
            )
    assert _fresh(approval).status == "pending"


def test_asking_with_another_plan_supersedes(
    approval: ApprovalRequest, owner: User
) -> None:
    again = approvals.request_alias(
        approval.model, "Champion", approval.version, rollout_plan=PLAN, principal=owner
    )
    same = approvals.request_alias(
        approval.model, "Champion", approval.version, rollout_plan=PLAN, principal=owner
    )
    assert (again.pk != approval.pk, same.pk) == (True, again.pk)
    assert _fresh(approval).status == "superseded"


def test_edited_plan_strikes_out_decisions_and_tells_reviewers(
    approval: ApprovalRequest, owner: User, reviewer: User, approve: Act
) -> None:
    approvals.create_policy(
        approval.model, "Champion", approvals_needed=2, principal=owner
    )
    approve(approval, reviewer)
    seen = _fresh(approval).binding
    approvals.edit_plan(approval, PLAN, principal=owner)
    decision = approval.decisions.get()
    assert decision.cleared_because == "the rollout plan was changed"
    reset = Event.objects.get(type="approval.reset")
    assert (reset.actor_name, reset.data["because"]) == (
        "owner",
        "the rollout plan was changed",
    )
    with pytest.raises(Conflict, match="the rollout plan was changed"):
        _decide(_fresh(approval), seen, reviewer)


def test_same_plan_changes_nothing(
    approval: ApprovalRequest, owner: User, approve: Act
) -> None:
    approvals.edit_plan(approval, PLAN, principal=owner)
    approvals.edit_plan(approval, PLAN, principal=owner)
    assert Event.objects.filter(type="approval.reset").count() == 1


def test_only_the_requester_edits_the_plan(
    approval: ApprovalRequest, grantee: User, stranger: User, use: Act
) -> None:
    use(grantee, Privilege.APPROVE, Privilege.MANAGE)
    with pytest.raises(PermissionDenied):
        approvals.edit_plan(approval, PLAN, principal=grantee)
    with pytest.raises(NotFound):
        approvals.edit_plan(approval, PLAN, principal=stranger)


def test_plan_of_a_closed_request_stays(approval: ApprovalRequest, owner: User) -> None:
    approvals.cancel(approval, principal=owner)
    with pytest.raises(Conflict, match="is cancelled"):
        approvals.edit_plan(approval, PLAN, principal=owner)
