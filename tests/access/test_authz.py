"""The rule, as a check and as SQL, for owner, grantee, group and stranger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
import time_machine
from django.conf import settings as configured
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access import services as access
from access.authz import explain, is_allowed, require, shows_details, shows_metadata
from access.facts import facts_of
from access.models import User
from access.privileges import Privilege
from core.errors import InvalidParameter, NotFound, PermissionDenied
from registry.models import Catalog, RegisteredModel, Schema
from tests.factories import (
    CatalogFactory,
    GroupFactory,
    MembershipFactory,
    ModelFactory,
    SchemaFactory,
    UserFactory,
)

P = Privilege


def test_owner_has_everything_on_the_object_itself(
    model: RegisteredModel, owner: User
) -> None:
    for privilege in (P.OWN, P.EXECUTE, P.MANAGE, P.APPLY_TAG, P.APPROVE):
        require(owner, privilege, model)


def test_stranger_sees_nothing(model: RegisteredModel, stranger: User) -> None:
    with pytest.raises(NotFound):
        require(stranger, P.EXECUTE, model)
    assert not RegisteredModel.objects.visible(stranger).exists()


def test_grant_without_use_of_the_containers_is_not_enough(
    model: RegisteredModel, owner: User, grantee: User
) -> None:
    access.grant(model, P.EXECUTE, grantee, principal=owner)
    assert not is_allowed(grantee, P.EXECUTE, model)


def test_grant_with_use_is_enough(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    access.grant(model, P.EXECUTE, grantee, principal=owner)
    require(grantee, P.EXECUTE, model)


def test_missing_privilege_comes_with_who_can_grant_it(
    model: RegisteredModel, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    with pytest.raises(PermissionDenied) as refused:
        require(grantee, P.EXECUTE, model)
    assert refused.value.details["reasons"] == [
        {
            "missing": "EXECUTE",
            "securable_type": "model",
            "full_name": "prod.fraud.scorer",
            "who_can_grant": ["owner", "admin"],
            "request_url": f"{configured.PUBLIC_URL}/access-requests/ask/"
            "?kind=model&full_name=prod.fraud.scorer&add=execute",
        }
    ]


def test_schema_grant_holds_for_future_models(
    schema: Schema, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, P.EXECUTE)
    require(grantee, P.EXECUTE, ModelFactory(schema=schema))


def test_group_grant_ends_with_membership(
    model: RegisteredModel,
    admin: User,
    owner: User,
    grantee: User,
    use: Callable[..., None],
) -> None:
    use(grantee)
    group = GroupFactory()
    access.add_member(group, grantee, principal=admin)
    access.grant(model, P.EXECUTE, group, principal=owner)
    require(grantee, P.EXECUTE, model)
    access.remove_member(group, grantee, principal=admin)
    assert not is_allowed(grantee, P.EXECUTE, model)


def test_owner_of_the_container_has_power_but_no_data(
    model: RegisteredModel, admin: User
) -> None:
    catalog_owner = UserFactory()
    Catalog.objects.update(owner=catalog_owner)
    require(catalog_owner, P.MANAGE, model)
    for privilege in (P.EXECUTE, P.OWN, P.APPROVE):
        assert not is_allowed(catalog_owner, privilege, model)


def test_manage_is_no_data_privilege(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    access.grant(model, P.MANAGE, grantee, principal=owner)
    require(grantee, P.MANAGE, model)
    assert not is_allowed(grantee, P.EXECUTE, model)
    assert not is_allowed(grantee, P.OWN, model)


def test_all_privileges_excludes_what_steers_others(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    access.grant(model, P.ALL_PRIVILEGES, grantee, principal=owner)
    require(grantee, P.EXECUTE, model)
    for privilege in (P.APPROVE, P.MANAGE, P.OWN):
        assert not is_allowed(grantee, privilege, model)


def test_admin_may_not_use_the_data(model: RegisteredModel) -> None:
    second_admin = UserFactory(is_superuser=True)
    require(second_admin, P.MANAGE, model)
    assert not is_allowed(second_admin, P.EXECUTE, model)
    assert not is_allowed(second_admin, P.OWN, model)


def test_grant_expires_at_its_instant(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    expiry = timezone.now() + dt.timedelta(hours=1)
    access.grant(model, P.EXECUTE, grantee, expires_at=expiry, principal=owner)
    require(grantee, P.EXECUTE, model)
    with time_machine.travel(expiry, tick=False):
        assert not is_allowed(grantee, P.EXECUTE, model)
        assert not RegisteredModel.objects.allowed(grantee, P.EXECUTE).exists()


def test_only_owner_manager_and_admin_grant(
    model: RegisteredModel, grantee: User, stranger: User, use: Callable[..., None]
) -> None:
    use(grantee, P.EXECUTE)
    with pytest.raises(PermissionDenied):
        access.grant(model, P.EXECUTE, stranger, principal=grantee)
    with pytest.raises(NotFound):
        access.grant(model, P.EXECUTE, stranger, principal=stranger)


def test_unknown_privilege_names_those_that_apply(
    model: RegisteredModel, owner: User, grantee: User
) -> None:
    with pytest.raises(InvalidParameter, match="APPLY TAG"):
        access.grant(model, "use schema", grantee, principal=owner)


def test_revoking_what_is_not_there_is_no_error(
    model: RegisteredModel, owner: User, grantee: User
) -> None:
    access.revoke(model, P.EXECUTE, grantee, principal=owner)


def test_explain_lists_met_and_unmet(
    model: RegisteredModel, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    met = {r.privilege: r.met for r in explain(grantee, P.EXECUTE, model)}
    assert met == {P.EXECUTE: False, P.USE_SCHEMA: True, P.USE_CATALOG: True}


def test_a_check_is_one_query(
    model: RegisteredModel, owner: User, django_assert_num_queries
) -> None:
    with django_assert_num_queries(1):
        require(owner, P.EXECUTE, model)


_GRANTED = st.sampled_from(
    [
        P.USE_CATALOG,
        P.USE_SCHEMA,
        P.EXECUTE,
        P.MANAGE,
        P.APPROVE,
        P.BROWSE,
        P.ALL_PRIVILEGES,
    ]
)
_LEVEL = st.sampled_from(["catalog", "schema", "model"])


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    grants=st.lists(
        st.tuples(_LEVEL, _GRANTED, st.booleans(), st.booleans()), max_size=6
    ),
    owned=st.sets(_LEVEL, max_size=2),
    is_admin=st.booleans(),
    asked=st.sampled_from(
        [P.EXECUTE, P.OWN, P.MANAGE, P.APPROVE, P.BROWSE, P.APPLY_TAG]
    ),
)
def test_check_and_list_are_one_rule(
    db: None,
    grants: list[tuple[str, Privilege, bool, bool]],
    owned: set[str],
    is_admin: bool,
    asked: Privilege,
) -> None:
    admin = UserFactory(is_superuser=True)
    who, group = UserFactory(is_superuser=is_admin), GroupFactory()
    MembershipFactory(group=group, member=who)
    catalog = CatalogFactory(owner=who if "catalog" in owned else admin)
    schema = SchemaFactory(catalog=catalog, owner=who if "schema" in owned else admin)
    model = ModelFactory(schema=schema, owner=who if "model" in owned else admin)
    objects = {"catalog": catalog, "schema": schema, "model": model}
    for level, privilege, by_group, expired in grants:
        try:
            access.grant(
                objects[level],
                privilege,
                group if by_group else who,
                expires_at=timezone.now() - dt.timedelta(1) if expired else None,
                principal=admin,
            )
        except InvalidParameter:
            continue
    listed = RegisteredModel.objects.allowed(who, asked).filter(pk=model.pk).exists()
    explained = all(r.met for r in explain(who, asked, model))
    assert is_allowed(who, asked, model) == listed == explained
    seen = RegisteredModel.objects.visible(who).filter(pk=model.pk).exists()
    facts = facts_of(who, model)
    assert seen == shows_metadata(who, RegisteredModel, facts)
    known = RegisteredModel.objects.detailed(who).filter(pk=model.pk).exists()
    assert known == shows_details(who, RegisteredModel, facts)
