"""A policy that nobody could satisfy is refused, and the refusal says why."""

from __future__ import annotations

from typing import Any

import pytest

from access import services as access
from access.models import User
from approvals import services as approvals
from approvals.drafts import Bypass, CheckRule, Draft, ReviewerRule
from approvals.models import Policy
from core.errors import Conflict, InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from registry.models import RegisteredModel
from tests.factories import GroupFactory, MembershipFactory, UserFactory

ALWAYS = {
    "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    "from": "00:00",
    "to": "24:00",
    "zone": "UTC",
}


def _put(model: RegisteredModel, principal: User, **terms: Any) -> Policy:
    return approvals.put_policy(model, Draft("Champion", **terms), principal=principal)


def test_groups_that_overlap_too_much_are_refused(
    model: RegisteredModel, owner: User
) -> None:
    risk, platform = GroupFactory(username="risk"), GroupFactory(username="platform")
    for name in ("one", "two"):
        member = UserFactory(username=name)
        for group in (risk, platform):
            MembershipFactory(group=group, member=member)
    rules = (ReviewerRule(2, (risk,)), ReviewerRule(1, (platform,)))
    with pytest.raises(InvalidParameter, match="1 too few"):
        _put(model, owner, rules=rules)
    assert _put(model, owner, rules=rules, distinct_reviewers=False).number == 1


def test_owner_of_the_model_is_no_able_reviewer(
    model: RegisteredModel, owner: User, approver: User, admin: User
) -> None:
    robot = access.create_service_principal("robot", owner, principal=admin)
    rules = (ReviewerRule(1, (owner, robot)),)
    with pytest.raises(InvalidParameter, match="0 other active person"):
        _put(model, owner, rules=rules)


def test_callback_is_no_able_reviewer(
    model: RegisteredModel, owner: User, admin: User
) -> None:
    with pytest.raises(InvalidParameter, match="0 other active person"):
        _put(
            model,
            admin,
            rules=(ReviewerRule(1, (owner,)),),
            callback_may_approve=True,
        )


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"wait_seconds": 3600, "expires_after_seconds": 3600}, "expires after 3600"),
        ({"freezes": (ALWAYS,)}, "freeze windows never end"),
        ({"metrics": ("m >= 1", "m < 1")}, "no number is both m >= 1 and m < 1"),
    ],
)
def test_contradictions_are_refused(
    model: RegisteredModel, owner: User, terms: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidParameter, match=f"Nobody could satisfy.*{why}"):
        _put(model, owner, **terms)


def test_contradiction_with_the_catalog_is_refused(
    model: RegisteredModel, owner: User, admin: User
) -> None:
    above = Draft("Champ*", wait_seconds=7200, metrics=("m >= 0.9",))
    approvals.put_policy(model.schema.catalog, above, principal=admin)
    with pytest.raises(InvalidParameter, match="waits 7200 seconds"):
        _put(model, owner, expires_after_seconds=3600)
    with pytest.raises(InvalidParameter, match="no number is both"):
        _put(model, owner, metrics=("m < 0.5",))


def test_reporter_of_the_owner_is_refused(
    model: RegisteredModel, owner: User, approver: User, admin: User
) -> None:
    robot = access.create_service_principal("robot", owner, principal=admin)
    with pytest.raises(InvalidParameter, match="nobody vouches"):
        _put(model, owner, checks=(CheckRule("ci", reporter=robot),))
    with pytest.raises(InvalidParameter, match="must be a service principal"):
        _put(model, owner, checks=(CheckRule("ci", reporter=approver),))


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"rules": ()}, "rules"),
        ({"rules": (ReviewerRule(0),)}, "approvals_needed"),
        ({"rejects_needed": 0}, "rejects_needed"),
        ({"checks": (CheckRule("ci"), CheckRule("ci", 60))}, "checks"),
        ({"checks": (CheckRule("ci", 0),)}, "max_age_seconds"),
        ({"metrics": ("accuracy is good",)}, "metrics"),
        ({"freezes": ({"days": ["fri"]},)}, "freezes"),
        ({"wait_seconds": -1}, "wait_seconds"),
        ({"cooling_seconds": -1}, "cooling_seconds"),
        ({"bypass": Bypass(min_reason_length=0)}, "min_reason_length"),
        ({"rollout_plan": {"steps": []}}, "plan.steps"),
        ({"rollout_plan": {"speed": 1}}, "plan has no 'speed'"),
    ],
)
def test_refusals_name_the_field(
    model: RegisteredModel, owner: User, terms: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidParameter, match=field):
        _put(model, owner, **terms)
    assert not Policy.objects.exists()


def test_plan_gets_its_defaults(model: RegisteredModel, owner: User) -> None:
    policy = _put(model, owner, rollout_plan={"steps": [{"weight": 500}]})
    assert policy.rollout_plan["steps"][-1]["weight"] == 10_000


def test_only_an_admin_names_who_may_bypass(
    model: RegisteredModel, owner: User, admin: User, approver: User
) -> None:
    bypass = Bypass(principals=(approver,))
    with pytest.raises(PermissionDenied, match="admin"):
        _put(model, owner, bypass=bypass)
    assert _put(model, admin, bypass=bypass).bypass["principals"][0]["name"]


def test_retired_policy_protects_no_more(policy: Policy, owner: User) -> None:
    ended = approvals.retire_policy(policy, note="not needed", principal=owner)
    assert (ended.number, ended.is_retired) == (2, True)
    assert approvals.find_policy(policy.model, "Champion") is None
    assert Event.objects.filter(type="policy.retired").count() == 1
    with pytest.raises(Conflict, match="number 2"):
        approvals.retire_policy(policy, principal=owner)
    with pytest.raises(Conflict):
        approvals.retire_policy(ended, principal=owner)
    again = approvals.create_policy(policy.model, "champion", principal=owner)
    assert again.number == 3


def test_only_who_manages_the_scope_retires(
    policy: Policy, approver: User, stranger: User, use: Any
) -> None:
    use(approver, "approve")
    with pytest.raises(PermissionDenied, match="MANAGE"):
        approvals.retire_policy(policy, principal=approver)
    with pytest.raises(NotFound):
        approvals.retire_policy(policy, principal=stranger)


def test_number_that_was_not_seen_is_a_conflict(policy: Policy, owner: User) -> None:
    draft = Draft("Champion")
    with pytest.raises(Conflict, match="number 1 by now"):
        approvals.put_policy(policy.model, draft, after=0, principal=owner)
    put = approvals.put_policy(policy.model, draft, after=1, principal=owner)
    assert put.number == 2
