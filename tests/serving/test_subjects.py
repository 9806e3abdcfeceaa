"""The list of callers in the gateway is the authorization rule, read backwards."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from access import services as access
from access.authz import is_allowed
from access.models import User
from access.privileges import Privilege
from access.securables import Securable
from registry.models import RegisteredModel
from serving.models import Endpoint
from serving.subjects import subjects_of
from tests.factories import GroupFactory, ModelFactory, UserFactory

P = Privilege
WHO = ["u0", "u1", "u2", "g0", "g1"]
Grant = tuple[str, str, Privilege, bool]

grants = st.lists(
    st.tuples(
        st.sampled_from(["endpoint", "schema", "catalog"]),
        st.sampled_from(WHO),
        st.sampled_from([P.QUERY, P.ALL_PRIVILEGES, P.SHIFT_TRAFFIC, P.MANAGE]),
        st.booleans(),
    ),
    max_size=8,
)


def make_endpoint(owner: User) -> Endpoint:
    model: RegisteredModel = ModelFactory()
    return Endpoint.objects.create(
        schema=model.schema,
        name="live",
        full_name=f"{model.schema.full_name}.live",
        owner=owner,
        model=model,
        alias="Champion",
        run_as=owner,
        plan={},
    )


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    granted=grants,
    members=st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.booleans())),
)
def test_gateway_and_authz_agree_on_every_caller(
    admin: User, granted: list[Grant], members: list[tuple[int, bool]]
) -> None:
    users = [UserFactory() for _ in range(3)]
    groups: list[User] = [GroupFactory() for _ in range(2)]
    people = dict(zip(WHO, [*users, *groups], strict=True))
    endpoint = make_endpoint(UserFactory())
    for number, second in members:
        access.add_member(groups[int(second)], users[number], principal=admin)
    for level, who, privilege, is_over in granted:
        _grant(_at(endpoint, level), privilege, people[who], is_over)

    subjects = subjects_of(_rows(endpoint))[endpoint.pk]

    everyone = [*users, endpoint.owner, endpoint.schema.owner, admin]
    allowed = {str(u.pk) for u in everyone if is_allowed(u, P.QUERY, endpoint)}
    assert subjects == allowed


def _grant(securable: Securable, privilege: Privilege, to: User, is_over: bool) -> None:
    access.grant(securable, privilege, to, principal=securable.owner)
    if is_over:
        rows = securable.grants.filter(permission__codename=privilege)  # type: ignore[attr-defined]  # each kind has its table
        rows.filter(user=to).update(expires_at=timezone.now() - dt.timedelta(1))


def _at(endpoint: Endpoint, level: str) -> Securable:
    return {
        "endpoint": endpoint,
        "schema": endpoint.schema,
        "catalog": endpoint.schema.catalog,
    }[level]


def _rows(*endpoints: Endpoint) -> list[Endpoint]:
    rows = Endpoint.objects.filter(pk__in=[endpoint.pk for endpoint in endpoints])
    return list(rows.select_related("schema", "owner"))


def test_principal_that_is_switched_off_is_nobody(db: None) -> None:
    owner = UserFactory(is_active=False)

    endpoint = make_endpoint(owner)

    assert subjects_of(_rows(endpoint)) == {endpoint.pk: frozenset()}


def test_five_queries_for_any_number_of_endpoints(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    rows = _rows(*(make_endpoint(UserFactory()) for _ in range(5)))

    with django_assert_num_queries(5):
        subjects_of(rows)
