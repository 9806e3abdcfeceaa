"""Groups, service principals and people: who is there, in what, with which tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access import services as access
from access.models import AccessToken, Membership, User
from access.privileges import Privilege
from registry.models import RegisteredModel
from tests.factories import GroupFactory

Browser = Callable[[User], Client]


@pytest.fixture
def team(admin: User, grantee: User) -> User:
    """A group with the grantee in it."""
    group = access.create_group("fraud-team", principal=admin)
    access.add_member(group, grantee, principal=admin)
    return group


@pytest.fixture
def job(admin: User, owner: User) -> User:
    """A service principal that `owner` answers for."""
    return access.create_service_principal("scoring-job", owner, principal=admin)


@pytest.mark.parametrize("kind", ["group", "service", "user", "nonsense"])
def test_everybody_may_know_who_is_there(
    browser: Browser, stranger: User, team: User, job: User, kind: str
) -> None:
    answer = browser(stranger).get(f"/principals/?kind={kind}")
    assert answer.status_code == 200
    html = answer.content.decode()
    assert ("fraud-team" in html) == (kind == "group")
    assert "Create group" not in html


def test_principals_come_page_by_page(browser: Browser, stranger: User) -> None:
    for number in range(60):
        GroupFactory(username=f"g{number:02}")
    first = browser(stranger).get("/principals/").content.decode()
    assert "after=g49" in first
    second = browser(stranger).get("/principals/?after=g49").content.decode()
    assert "g50" in second
    assert "g49</a>" not in second


def test_admin_creates_a_group_and_a_service_principal(
    browser: Browser, admin: User, owner: User
) -> None:
    client = browser(admin)
    client.post("/principals/create/", {"kind": "group", "name": "analysts"})
    form = {"kind": "service", "name": "nightly", "owner": "owner"}
    answer = client.post("/principals/create/", form, follow=True)
    assert "nightly was created" in answer.content.decode()
    assert User.objects.get(username="analysts").kind == "group"
    assert User.objects.get(username="nightly").owner == owner


@pytest.mark.parametrize(
    "form",
    [
        {"kind": "group", "name": ""},
        {"kind": "group", "name": "OWNER"},
        {"kind": "service", "name": "job", "owner": "nobody"},
        {"kind": "service", "name": "job", "owner": ""},
    ],
)
def test_wrong_principals_are_refused_with_what_was_typed(
    browser: Browser, admin: User, owner: User, form: dict[str, str]
) -> None:
    answer = browser(admin).post("/principals/create/", form)
    assert answer.status_code in {400, 404}
    assert f'value="{form["name"]}"' in answer.content.decode()
    assert User.objects.count() == 2


def test_only_an_admin_creates_principals_and_changes_members(
    browser: Browser, owner: User, grantee: User, stranger: User, team: User
) -> None:
    for person in (owner, grantee, stranger):
        client, form = browser(person), {"member": person.username}
        create = client.post("/principals/create/", {"kind": "group", "name": "x"})
        add = client.post("/principals/fraud-team/add-member/", form)
        remove = client.post("/principals/fraud-team/remove-member/", form)
        statuses = {create.status_code, add.status_code, remove.status_code}
        assert statuses == {403}
    assert Membership.objects.count() == 1


def test_admin_adds_and_removes_members(
    browser: Browser, admin: User, owner: User, team: User
) -> None:
    client, form = browser(admin), {"member": "owner"}
    html = client.post("/principals/fraud-team/add-member/", form, follow=True)
    assert "owner is in fraud-team now" in html.content.decode()
    client.post("/principals/fraud-team/remove-member/", form)
    assert not Membership.objects.filter(member=owner).exists()


def test_group_cannot_be_put_into_itself(
    browser: Browser, admin: User, team: User
) -> None:
    form = {"member": "fraud-team"}
    answer = browser(admin).post("/principals/fraud-team/add-member/", form)
    assert answer.status_code == 400


def test_what_a_group_holds_is_for_its_members_and_admins(
    browser: Browser,
    admin: User,
    owner: User,
    grantee: User,
    stranger: User,
    team: User,
    model: RegisteredModel,
) -> None:
    access.grant(model, Privilege.EXECUTE, team, principal=owner)
    for person, sees in ((admin, True), (grantee, True), (stranger, False)):
        html = browser(person).get("/principals/fraud-team/").content.decode()
        assert ("prod.fraud.scorer" in html) == sees
        assert "grantee" in html  # who is in it, everybody may know


def test_unknown_principal_is_not_found(browser: Browser, stranger: User) -> None:
    assert browser(stranger).get("/principals/nobody/").status_code == 404


def test_owner_issues_and_revokes_tokens_of_a_service_principal(
    browser: Browser, owner: User, job: User
) -> None:
    client = browser(owner)
    assert "scoring-job" in client.get("/account/").content.decode()
    form = {"name": "ci", "days": "30", "scopes": "all"}
    answer = client.post("/principals/scoring-job/issue-token/", form)
    token = AccessToken.objects.get()
    assert token.principal.username == "scoring-job"
    assert answer.headers["Cache-Control"] == "no-store"
    html = client.get("/principals/scoring-job/").content.decode()
    assert token.hint in html
    client.post("/principals/scoring-job/revoke-token/", {"token": str(token.pk)})
    token.refresh_from_db()
    assert token.revoked_at is not None


def test_others_neither_see_nor_make_tokens_of_a_service_principal(
    browser: Browser, owner: User, grantee: User, stranger: User, job: User
) -> None:
    access.issue_token(job, "ci", principal=owner)
    token = AccessToken.objects.get()
    for person in (grantee, stranger):
        client = browser(person)
        assert token.hint not in client.get("/principals/scoring-job/").content.decode()
        form = {"name": "mine", "days": "1", "token": str(token.pk)}
        issue = client.post("/principals/scoring-job/issue-token/", form)
        revoke = client.post("/principals/scoring-job/revoke-token/", form)
        assert (issue.status_code, revoke.status_code) == (403, 404)
    token.refresh_from_db()
    assert token.revoked_at is None
    assert AccessToken.objects.count() == 1


def test_groups_hold_no_tokens(browser: Browser, admin: User, team: User) -> None:
    form = {"name": "x", "days": "1"}
    answer = browser(admin).post("/principals/fraud-team/issue-token/", form)
    assert answer.status_code == 400


def test_group_page_asks_no_query_per_member_or_grant(
    browser: Browser,
    admin: User,
    team: User,
    make_people: Callable[[int], list[User]],
    django_assert_max_num_queries: Any,
) -> None:
    for person in make_people(6):
        access.add_member(team, person, principal=admin)
    client = browser(admin)
    with django_assert_max_num_queries(27):
        assert client.get("/principals/fraud-team/").status_code == 200
