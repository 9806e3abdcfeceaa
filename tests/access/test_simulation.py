"""Who would gain or lose what, who could, and pairs of rights that are toxic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_django import DjangoAssertNumQueries

from access import services as access
from access.models import Membership, User
from access.privileges import Privilege
from access.who_could import who_could
from events.models import Event
from registry.models import ModelGrant, RegisteredModel
from tests.factories import GroupFactory, MembershipFactory, UserFactory

P = Privilege


def grant_of(who: str, privilege: str, name: str) -> dict[str, Any]:
    return {
        "changes": [
            {
                "change": "grant",
                "principal": who,
                "privilege": privilege,
                "object": name,
            }
        ]
    }


def test_a_grant_to_a_group_is_simulated_for_its_members(
    model: RegisteredModel,
    owner: User,
    grantee: User,
    use: Callable[..., None],
    call: Callable[..., Any],
) -> None:
    use(grantee)
    team = GroupFactory(username="team")
    MembershipFactory(group=team, member=grantee)
    events = (
        Event.objects.exclude(type="token.issued").exclude(outcome="denied").count()
    )

    answer = call(
        owner,
        "post",
        "permissions/simulate",
        grant_of("team", "EXECUTE", "prod.fraud.scorer"),
    )

    assert answer.status_code == 200
    (difference,) = answer.json()["differences"]
    assert difference["principal"] == "grantee"
    assert difference["full_name"] == "prod.fraud.scorer"
    assert {"download_files", "see_model"} <= set(difference["gains"])
    assert difference["loses"] == []
    assert not answer.json()["truncated"]
    assert not ModelGrant.objects.filter(user=team).exists()
    assert (
        Event.objects.exclude(type="token.issued").exclude(outcome="denied").count()
        == events
    )


def test_simulating_needs_the_right_to_do_it(
    model: RegisteredModel,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
    call: Callable[..., Any],
) -> None:
    use(grantee)
    asked = grant_of("grantee", "EXECUTE", "prod.fraud.scorer")
    assert call(grantee, "post", "permissions/simulate", asked).status_code == 403
    assert call(stranger, "post", "permissions/simulate", asked).status_code == 404
    assert not ModelGrant.objects.exists()


def test_leaving_a_group_is_simulated_on_all_that_it_holds(
    model: RegisteredModel,
    admin: User,
    use: Callable[..., None],
    call: Callable[..., Any],
) -> None:
    member = MembershipFactory(member=UserFactory(username="member")).member
    group = Membership.objects.get(member=member).group
    use(group, P.EXECUTE)
    change = {
        "change": "remove_member",
        "principal": "member",
        "group": group.username,
    }
    answer = call(admin, "post", "permissions/simulate", {"changes": [change]})
    lost = {d["full_name"]: d["loses"] for d in answer.json()["differences"]}
    assert "download_files" in lost["prod.fraud.scorer"]
    assert "see_catalog" in lost["prod"]
    assert Membership.objects.filter(member=member).exists()


def test_making_a_toxic_pair_warns_and_is_done(
    model: RegisteredModel,
    admin: User,
    owner: User,
    grantee: User,
    use: Callable[..., None],
    call: Callable[..., Any],
) -> None:
    use(grantee, P.RUN_TRAINING)
    model.schema.catalog.delegated_versions = True
    model.schema.catalog.save()
    model = RegisteredModel.objects.get(pk=model.pk)
    access.grant(model, P.CREATE_MODEL_VERSION, grantee, principal=owner)
    path = "permissions/model/prod.fraud.scorer"
    change = {"changes": [{"principal": "grantee", "add": ["APPROVE"]}]}

    simulated = call(
        owner,
        "post",
        "permissions/simulate",
        grant_of("grantee", "APPROVE", "prod.fraud.scorer"),
    )
    done = call(owner, "patch", path, change)
    again = call(owner, "patch", path, change)

    assert done.status_code == 200
    (warning,) = done.json()["warnings"]
    assert warning["rule"] == "train_and_approve"
    assert warning["principal"] == "grantee"
    assert simulated.json()["warnings"] == [warning]
    assert again.json()["warnings"] == []


def test_who_could_move_an_alias(
    model: RegisteredModel,
    admin: User,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
    call: Callable[..., Any],
) -> None:
    use(grantee)
    access.grant(model, P.MANAGE, grantee, principal=owner)
    asked = {"operation": "move_alias", "object": "prod.fraud.scorer"}

    answer = call(owner, "post", "permissions/who-could", asked)

    found = {one["principal"]: one for one in answer.json()["principals"]}
    assert set(found) == {"owner", "grantee", "admin"}
    assert found["owner"]["may_now"]
    assert not found["grantee"]["may_now"]
    assert found["grantee"]["sources"][0]["privilege"] == "MANAGE"
    assert found["admin"]["by_breaking_glass"]
    assert call(stranger, "post", "permissions/who-could", asked).status_code == 404


def test_who_could_costs_the_same_for_many(
    model: RegisteredModel,
    owner: User,
    use: Callable[..., None],
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    group = GroupFactory()
    use(group, P.EXECUTE)
    MembershipFactory.create_batch(40, group=group)
    model = RegisteredModel.objects.select_related(
        "owner", "schema__owner", "schema__catalog__owner"
    ).get()
    with django_assert_num_queries(5):
        found = who_could("download_files", model)
    assert len(found) == 42  # the owner, an admin and the members


def test_who_could_refuses_what_anybody_may(
    model: RegisteredModel, owner: User, call: Callable[..., Any]
) -> None:
    asked = {"operation": "ask_for_access", "object": "prod.fraud.scorer"}
    answer = call(owner, "post", "permissions/who-could", asked)
    assert answer.status_code == 400
    assert "anybody" in answer.json()["message"]
