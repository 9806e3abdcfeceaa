"""The table of operations: complete, and one rule with the single privileges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from pytest_django import DjangoAssertNumQueries

from access import services as access
from access.authz import is_allowed
from access.explanations import explain
from access.models import User
from access.operations import OPERATIONS, find_operation, operations_on
from access.privileges import GRANTABLE, Privilege
from access.securables import Securable
from access.ways import is_able, require_able
from core.errors import InvalidParameter, NotFound, PermissionDenied
from registry.models import Catalog, ModelVersion, RegisteredModel
from tests.factories import GroupFactory, MembershipFactory

P = Privilege


def test_every_rule_of_the_reference_has_an_operation() -> None:
    assert {one.code for one in OPERATIONS} == {f"P-{n}" for n in range(1, 33)}


def test_names_are_unique_and_kinds_are_known() -> None:
    names = [one.name for one in OPERATIONS]
    assert len(names) == len(set(names))
    kinds = {kind for one in OPERATIONS for kind in one.kinds}
    assert kinds == {*GRANTABLE, "modelversion"}
    known = {model._meta.model_name for model in apps.get_models()}
    assert kinds <= known


def test_every_operation_says_what_it_needs() -> None:
    said = {one.name: one.needs_words() for one in OPERATIONS}
    assert said["create_version"] == (
        "ownership and B, or CREATE MODEL VERSION and B where the catalog delegates "
        "versions"
    )
    assert said["delete"] == (
        "ownership and B, or MANAGE and B, or ownership of a container"
    )
    assert said["rename_model"] == "ownership and CREATE MODEL on the container and B"
    assert all(said.values())


def test_an_operation_of_another_kind_names_those_that_apply() -> None:
    with pytest.raises(InvalidParameter, match="create_model"):
        find_operation("move_alias", "schema")


def roles_of(
    model: RegisteredModel,
    admin: User,
    owner: User,
    grantee: User,
    stranger: User,
) -> list[User]:
    manager, above = GroupFactory(), GroupFactory()
    access.grant(model, P.MANAGE, manager, principal=owner)
    Catalog.objects.filter(pk=model.schema.catalog_id).update(owner=above)
    held_by_groups = [
        MembershipFactory(group=group).member for group in (manager, above)
    ]
    access.grant(model.schema, P.ALL_PRIVILEGES, held_by_groups[0], principal=admin)
    access.grant(model, P.EXECUTE, grantee, principal=owner)
    return [admin, owner, grantee, stranger, *held_by_groups]


@pytest.mark.parametrize(
    ("operation", "privilege"),
    [
        ("download_files", P.EXECUTE),
        ("apply_tag", P.APPLY_TAG),
        ("move_alias", P.OWN),
        ("decide_approval", P.APPROVE),
        ("change_grants", P.MANAGE),
        ("transfer_ownership", P.MANAGE),
    ],
)
def test_operation_and_privilege_are_one_rule(
    model: RegisteredModel,
    admin: User,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
    operation: str,
    privilege: Privilege,
) -> None:
    use(grantee)
    people = roles_of(model, admin, owner, grantee, stranger)
    for who in people:
        assert is_able(who, operation, model) == is_allowed(who, privilege, model)


def test_explanation_and_check_agree_on_every_operation(
    model: RegisteredModel,
    version: ModelVersion,
    admin: User,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
) -> None:
    use(grantee)
    people = roles_of(model, admin, owner, grantee, stranger)
    things: list[Any] = [model, model.schema, version]
    for who in people:
        for thing in things:
            for operation in operations_on(thing._meta.model_name):
                told = explain(who, operation.name, thing)
                assert told.is_allowed == is_able(who, operation.name, thing)
                for need in told.requirements:
                    assert bool(need.who_can_grant) <= (not need.met)


def test_met_need_says_by_which_grant_through_which_groups(
    model: RegisteredModel, admin: User, grantee: User, use: Callable[..., None]
) -> None:
    team, company = GroupFactory(username="team"), GroupFactory(username="company")
    access.add_member(team, grantee, principal=admin)
    access.add_member(company, team, principal=admin)
    use(company, P.EXECUTE)

    told = explain(grantee, "download_files", model)

    assert told.is_allowed
    (source,) = told.requirements[0].sources
    assert (source.privilege, source.holder) == ("EXECUTE", "company")
    assert (source.securable_type, source.full_name) == ("schema", "prod.fraud")
    assert source.through == ("team", "company")
    assert source.is_inherited


def test_unmet_need_says_who_can_grant_it(
    model: RegisteredModel,
    owner: User,
    stranger: User,
    grantee: User,
    use: Callable[..., None],
) -> None:
    use(grantee)
    access.grant(model, P.MANAGE, stranger, principal=owner)

    told = explain(grantee, "download_files", model)

    assert not told.is_allowed
    needs = {need.what: need for need in told.requirements}
    assert needs["USE SCHEMA"].met
    assert needs["USE SCHEMA"].sources
    assert needs["EXECUTE"].who_can_grant == ("owner", "stranger", "admin")


def test_delegated_versions_open_a_second_way(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    access.grant(model, P.ALL_PRIVILEGES, grantee, principal=owner)
    assert not is_able(grantee, "create_version", model)

    Catalog.objects.update(delegated_versions=True)
    model.schema.catalog.refresh_from_db()

    assert is_able(grantee, "create_version", model)
    assert is_able(owner, "create_version", model)


def test_container_owner_deletes_and_registers_nothing(
    model: RegisteredModel, grantee: User
) -> None:
    Catalog.objects.update(owner=grantee)
    model.schema.catalog.refresh_from_db()
    assert is_able(grantee, "delete", model)
    assert not is_able(grantee, "create_version", model)
    assert not is_able(grantee, "download_files", model)


def test_owner_whose_border_closed_may_grant_but_not_delete(
    model: RegisteredModel, owner: User, admin: User
) -> None:
    access.revoke(model.schema, P.USE_SCHEMA, owner, principal=admin)
    assert is_able(owner, "change_grants", model)
    assert not is_able(owner, "delete", model)
    assert not is_able(owner, "move_alias", model)


def test_refusal_lists_what_the_nearest_way_lacks(
    model: RegisteredModel,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
) -> None:
    with pytest.raises(NotFound):
        require_able(stranger, "delete", model)
    use(grantee)
    with pytest.raises(PermissionDenied) as refused:
        require_able(grantee, "delete", model)
    assert [r["missing"] for r in refused.value.details["reasons"]] == ["ownership"]


def test_check_is_one_query_and_explaining_at_most_six(
    model: RegisteredModel,
    owner: User,
    django_assert_num_queries: DjangoAssertNumQueries,
    django_assert_max_num_queries: Callable[..., Any],
) -> None:
    with django_assert_num_queries(1):
        require_able(owner, "delete", model)
    with django_assert_max_num_queries(6):
        explain(owner, "delete", model)


def test_break_glass_can_be_switched_off(
    model: RegisteredModel, admin: User, owner: User, settings: Any
) -> None:
    assert is_able(admin, "break_glass", model)
    assert not is_able(owner, "break_glass", model)
    settings.BREAK_GLASS = False
    assert not is_able(admin, "break_glass", model)
    with pytest.raises(PermissionDenied):
        require_able(admin, "break_glass", model)


def test_anybody_asks_about_oneself_and_managers_about_others(
    model: RegisteredModel,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
    call: Callable[..., Any],
) -> None:
    use(grantee)
    question = {
        "principal": "grantee",
        "operation": "download_files",
        "object": model.full_name,
    }
    mine = call(grantee, "post", "permissions/explain", question)
    assert mine.status_code == 200
    assert mine.json()["allowed"] is False
    assert mine.json()["code"] == "P-6"
    assert [n["met"] for n in mine.json()["requirements"]] == [False, True, True]
    assert call(owner, "post", "permissions/explain", question).json() == mine.json()
    assert call(stranger, "post", "permissions/explain", question).status_code == 404
    other = {**question, "principal": "owner"}
    assert call(grantee, "post", "permissions/explain", other).status_code == 403


def test_a_question_names_one_operation_or_one_privilege(
    model: RegisteredModel, owner: User, call: Callable[..., Any]
) -> None:
    asked = {"principal": "owner", "object": model.full_name}
    answer = call(owner, "post", "permissions/explain", asked)
    assert answer.status_code == 400
    assert "operation" in answer.json()["message"]
    by_privilege = call(
        owner, "post", "permissions/explain", {**asked, "privilege": "EXECUTE"}
    )
    assert by_privilege.json()["allowed"] is True
    unknown = call(owner, "post", "permissions/explain", {**asked, "operation": "fly"})
    assert unknown.status_code == 400
    assert "move_alias" in unknown.json()["message"]


def test_find_securable_by_the_parts_of_its_name(
    model: RegisteredModel, admin: User, call: Callable[..., Any]
) -> None:
    things: list[Securable] = [model.schema.catalog, model.schema, model]
    for thing in things:
        asked = {
            "principal": "admin",
            "operation": "change_grants",
            "object": thing.full_name,
        }
        assert call(admin, "post", "permissions/explain", asked).json()["allowed"]
