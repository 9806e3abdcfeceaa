"""Which policy protects an alias, and who may say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import gate
from approvals import services as approvals
from approvals.models import Policy
from core.errors import InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from registry.models import ModelVersion, RegisteredModel, Schema
from tests.factories import GroupFactory, MembershipFactory


@pytest.mark.parametrize("alias", ["Champion", "champion", "CHAMPION"])
def test_pattern_matches_without_case(policy: Policy, alias: str) -> None:
    assert approvals.find_policy(policy.model, alias) == policy


def test_glob_protects_what_it_matches(model: RegisteredModel, owner: User) -> None:
    policy = approvals.create_policy(model, "Prod-*", principal=owner)
    assert approvals.find_policy(model, "prod-eu") == policy
    assert approvals.find_policy(model, "staging") is None


def test_nearest_policy_is_found_first(
    model: RegisteredModel, owner: User, admin: User
) -> None:
    approvals.create_policy(model.schema.catalog, "*", principal=admin)
    assert approvals.find_policy(model, "a").scope == model.schema.catalog
    approvals.create_policy(model.schema, "*", principal=admin)
    assert approvals.find_policy(model, "a").scope == model.schema
    approvals.create_policy(model, "*", principal=owner)
    assert approvals.find_policy(model, "a").scope == model


def test_nearer_policy_cannot_weaken_the_one_above(
    version: ModelVersion, owner: User, admin: User
) -> None:
    model = version.model
    approvals.create_policy(
        model.schema.catalog, "*", approvals_needed=2, checks=["ci"], principal=admin
    )
    approvals.create_policy(model, "Champion", approvals_needed=1, principal=owner)
    approval = approvals.request_alias(model, "Champion", version, principal=owner)
    assert approval.unmet() == [
        "1 more approval by somebody with APPROVE",
        "2 more approvals by somebody with APPROVE",
        "check ci has not reported",
    ]


def test_next_number_replaces_the_one_before(policy: Policy, owner: User) -> None:
    newer = approvals.create_policy(
        policy.model, "champion", checks=["ci"], principal=owner
    )
    assert newer.number == 2
    assert approvals.find_policy(policy.model, "Champion") == newer


def test_manager_of_the_scope_may_protect_it(
    model: RegisteredModel, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.MANAGE)
    assert approvals.create_policy(model, "a", principal=grantee).created_by == grantee
    assert Event.objects.filter(type="policy.created").count() == 1


def test_grantee_of_execute_may_not_protect(
    model: RegisteredModel, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE)
    with pytest.raises(PermissionDenied, match="MANAGE"):
        approvals.create_policy(model, "a", principal=grantee)


def test_stranger_may_not_know_the_scope(
    model: RegisteredModel, stranger: User
) -> None:
    with pytest.raises(NotFound):
        approvals.create_policy(model, "a", principal=stranger)


def test_only_an_admin_lets_callbacks_approve(
    model: RegisteredModel, owner: User
) -> None:
    with pytest.raises(PermissionDenied, match="admin"):
        approvals.create_policy(model, "a", callback_may_approve=True, principal=owner)


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_approval_is_needed(
    model: RegisteredModel, owner: User, count: int
) -> None:
    with pytest.raises(InvalidParameter, match="at least 1"):
        approvals.create_policy(model, "a", approvals_needed=count, principal=owner)


def test_policy_that_nobody_can_satisfy_is_refused(
    model: RegisteredModel, owner: User, approver: User, admin: User
) -> None:
    robot = access.create_service_principal("robot", approver, principal=admin)
    with pytest.raises(InvalidParameter, match="Nobody could satisfy"):
        approvals.create_policy(
            model,
            "a",
            approvals_needed=2,
            reviewers=[approver, robot, owner],
            principal=owner,
        )


def test_group_with_enough_members_satisfies(
    model: RegisteredModel, owner: User
) -> None:
    group = GroupFactory(username="risk")
    for _ in range(2):
        MembershipFactory(group=group)
    policy = approvals.create_policy(
        model, "a", approvals_needed=2, reviewers=[group], principal=owner
    )
    assert policy.reviewer_names == [group.username]


@pytest.mark.parametrize(
    "wrong",
    [
        {"alias_pattern": " "},
        {"alias_pattern": "a", "checks": [""]},
        {"alias_pattern": "a", "expires_after_seconds": 1},
    ],
)
def test_senseless_values_are_refused(
    model: RegisteredModel, owner: User, wrong: dict
) -> None:
    pattern = wrong.pop("alias_pattern")
    with pytest.raises(InvalidParameter):
        approvals.create_policy(model, pattern, principal=owner, **wrong)


def test_policy_protects_future_models_of_its_schema(
    schema: Schema, admin: User, version: ModelVersion
) -> None:
    approvals.create_policy(schema, "Champion", principal=admin)
    assert approvals.find_policy(version.model, "Champion") is not None


def test_conditions_tell_what_is_met_and_what_is_not(
    version: ModelVersion,
    owner: User,
    grantee: User,
    use: Callable[..., None],
    report: Callable[..., None],
) -> None:
    use(grantee, Privilege.EXECUTE)
    approvals.create_policy(version.model, "Champion", checks=["ci"], principal=owner)
    approval = approvals.request_alias(
        version.model, "Champion", version, principal=owner
    )
    report(approval, "ci", grantee)
    person, check = gate.conditions(approval)
    assert (person.kind, person.is_met) == ("approvals", False)
    assert (person.have, person.need) == (0, 1)
    assert (check.kind, check.is_met, check.words) == ("check", True, "check ci passed")
    assert person.policy == "prod.fraud.scorer@Champion"
