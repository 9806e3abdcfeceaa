"""Groups are principals: nested, live, able to own; never in themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from access import services as access
from access.authz import is_allowed, require
from access.facts import principals_of
from access.models import User
from access.privileges import Privilege
from core.errors import AlreadyExists, InvalidParameter, PermissionDenied
from events.models import Event
from registry.models import Experiment, RegisteredModel, Schema
from tests.factories import GroupFactory, MembershipFactory, UserFactory

P = Privilege


def nest(member: User, depth: int) -> User:
    """Return the outermost of `depth` groups around a member."""
    for _ in range(depth):
        member = MembershipFactory(member=member).group
    return member


def test_member_of_a_nested_group_is_granted(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    company = nest(grantee, 3)
    use(company)
    access.grant(model, P.EXECUTE, company, principal=owner)
    require(grantee, P.EXECUTE, model)
    assert RegisteredModel.objects.allowed(grantee, P.EXECUTE).get() == model


def test_leaving_the_inner_group_denies_the_next_call(
    model: RegisteredModel, admin: User, owner: User, use: Callable[..., None]
) -> None:
    member, inner = UserFactory(), GroupFactory()
    access.add_member(inner, member, principal=admin)
    outer = nest(inner, 1)
    use(outer)
    access.grant(model, P.EXECUTE, outer, principal=owner)
    require(member, P.EXECUTE, model)

    access.remove_member(inner, member, principal=admin)

    assert not is_allowed(member, P.EXECUTE, model)


def test_member_of_the_owning_group_is_an_owner(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    team = nest(grantee, 2)
    use(team)
    access.transfer_ownership(model, team, principal=owner)
    require(grantee, P.OWN, model)
    assert RegisteredModel.objects.allowed(grantee, P.OWN).get() == model
    assert not is_allowed(owner, P.OWN, model)


def test_check_is_one_query_whatever_the_nesting(
    model: RegisteredModel,
    grantee: User,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    nest(grantee, 4)
    with django_assert_num_queries(1):
        is_allowed(grantee, P.EXECUTE, model)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_group_is_never_in_itself(admin: User, depth: int) -> None:
    inner = GroupFactory()
    outer = nest(inner, depth)
    with pytest.raises(InvalidParameter, match="cannot be in"):
        access.add_member(inner, outer, principal=admin)


def test_only_groups_have_members(admin: User, grantee: User) -> None:
    with pytest.raises(InvalidParameter, match="is a user, not a group"):
        access.add_member(grantee, UserFactory(), principal=admin)


def test_only_admins_change_groups(grantee: User) -> None:
    group = GroupFactory()
    for act in (
        lambda: access.create_group("risk", principal=grantee),
        lambda: access.add_member(group, grantee, principal=grantee),
        lambda: access.remove_member(group, grantee, principal=grantee),
    ):
        with pytest.raises(PermissionDenied):
            act()
    assert principals_of(grantee) == [grantee.pk]


def test_name_is_unique_among_all_principals(admin: User, grantee: User) -> None:
    with pytest.raises(AlreadyExists):
        access.create_group("GRANTEE", principal=admin)


def test_group_holds_no_token_and_owns_no_service(admin: User) -> None:
    group = GroupFactory()
    with pytest.raises(InvalidParameter, match="is a group"):
        access.issue_token(group, "laptop", principal=admin)
    with pytest.raises(InvalidParameter, match="must be a person"):
        access.create_service_principal("ci", group, principal=admin)
    with pytest.raises(InvalidParameter, match="is a group"):
        access.get_account(group.username)


def test_membership_leaves_events_once(admin: User, grantee: User) -> None:
    group = access.create_group("risk", principal=admin)
    for _ in range(2):
        access.add_member(group, grantee, principal=admin)
    for _ in range(2):
        access.remove_member(group, grantee, principal=admin)
    types = Event.objects.filter(subject_id=group.pk).order_by("sequence")
    assert list(types.values_list("type", flat=True)) == [
        "principal.created",
        "group.member_added",
        "group.member_removed",
    ]


@pytest.mark.django_db(transaction=True)
def test_two_halves_of_a_circle_are_never_both_closed(admin: User) -> None:
    one, other = GroupFactory(), GroupFactory()
    barrier = threading.Barrier(2)
    refused: list[InvalidParameter] = []

    def join(group: User, member: User) -> None:
        try:
            barrier.wait()
            access.add_member(group, member, principal=admin)
        except InvalidParameter as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=join, args=pair)
        for pair in ((one, other), (other, one))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1


def test_persons_of_a_group_are_those_behind_its_members(admin: User) -> None:
    person, colleague = UserFactory(), UserFactory()
    robot = access.create_service_principal("ci", colleague, principal=admin)
    team = nest(person, 1)
    access.add_member(team, robot, principal=admin)
    company = nest(team, 1)
    assert access.persons_of(company) == {person.pk, colleague.pk}


def test_private_experiment_needs_no_use_of_a_container(
    owner: User, grantee: User, stranger: User
) -> None:
    experiment = Experiment.objects.create(
        name="tuning", experiment_id="7", owner=owner
    )
    access.grant(experiment, P.READ_EXPERIMENT, grantee, principal=owner)
    for who, sees in ((owner, True), (grantee, True), (stranger, False)):
        assert is_allowed(who, P.READ_EXPERIMENT, experiment) == sees
        allowed = Experiment.objects.allowed(who, P.READ_EXPERIMENT)
        assert allowed.exists() == sees
    assert not is_allowed(grantee, P.EDIT_EXPERIMENT, experiment)


def test_experiment_of_a_schema_inherits_its_grants(
    schema: Schema, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    experiment = Experiment.objects.create(
        name="prod.fraud.tuning", experiment_id="8", owner=owner, schema=schema
    )
    assert not is_allowed(owner, P.READ_EXPERIMENT, experiment)
    use(grantee, P.EDIT_EXPERIMENT)
    require(grantee, P.EDIT_EXPERIMENT, experiment)
    assert Experiment.objects.allowed(grantee, P.EDIT_EXPERIMENT).get() == experiment
