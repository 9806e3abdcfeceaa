"""The Permissions tab: grants seen, previewed, made and taken back; owner; why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access import services as access
from access.authz import is_allowed
from access.models import User
from access.privileges import Privilege
from registry.models import RegisteredModel

Browser = Callable[[User], Client]

MODEL = "/objects/model/prod.fraud.scorer/"
GRANTS = f"{MODEL}permissions/"
PATHS = [
    *(
        f"/objects/{name}/{tab}/"
        for name in ("catalog/prod", "schema/prod.fraud", "model/prod.fraud.scorer")
        for tab in ("permissions", "activity")
    ),
    f"{GRANTS}why/",
]
MANAGERS = [
    f"{GRANTS}who/",
    f"{GRANTS}grant/",
    f"{GRANTS}change/?principal=grantee&add=execute",
]


@pytest.fixture
def reader(grantee: User, use: Callable[..., None], model: RegisteredModel) -> User:
    """The grantee, who may load the models of prod.fraud."""
    use(grantee, Privilege.EXECUTE)
    return grantee


@pytest.mark.parametrize("path", PATHS)
def test_tabs_render_for_owner_grantee_and_admin_only(
    browser: Browser,
    admin: User,
    owner: User,
    reader: User,
    stranger: User,
    path: str,
) -> None:
    for person in (admin, owner, reader):
        answer = browser(person).get(path)
        assert answer.status_code == 200
        assert answer.content.decode().count("<h1") == 1
    assert browser(stranger).get(path).status_code == 404


@pytest.mark.parametrize("path", [*MANAGERS, f"{MODEL}transfer/"])
def test_forms_are_for_who_manages(
    browser: Browser, owner: User, reader: User, stranger: User, path: str
) -> None:
    assert browser(owner).get(path).status_code == 200
    refused = browser(reader).get(path)
    assert refused.status_code == 403
    assert "MANAGE" in refused.content.decode()
    assert browser(stranger).get(path).status_code == 404


def test_owner_sees_direct_and_inherited_grants_with_where_they_come_from(
    browser: Browser, owner: User, reader: User, model: RegisteredModel
) -> None:
    access.grant(model, Privilege.APPLY_TAG, reader, principal=owner)
    html = browser(owner).get(GRANTS).content.decode()
    assert "APPLY TAG" in html
    assert "Inherited" in html
    assert "/objects/schema/prod.fraud/permissions/" in html
    assert "APPLY TAG" in html


def test_grantee_sees_own_grants_and_no_others(
    browser: Browser, owner: User, reader: User, stranger: User, model: RegisteredModel
) -> None:
    access.grant(model, Privilege.APPLY_TAG, stranger, principal=owner)
    html = browser(reader).get(GRANTS).content.decode()
    assert "EXECUTE" in html
    assert "stranger" not in html
    assert "Revoke" not in html


def test_preview_changes_nothing(
    browser: Browser, owner: User, reader: User, model: RegisteredModel
) -> None:
    path = f"{GRANTS}change/?principal=grantee&add=apply_tag&until=2999-01-01T00:00"
    html = browser(owner).get(path).content.decode()
    assert "nothing is changed yet" in html
    assert "APPLY TAG" in html
    assert "1 January 2999" in html
    assert not is_allowed(reader, Privilege.APPLY_TAG, model)


def test_preview_says_who_gains_what_and_warns_of_toxic_pairs(
    browser: Browser, owner: User, reader: User
) -> None:
    client = browser(owner)
    harmless = client.get(f"{GRANTS}change/?principal=grantee&add=apply_tag")
    html = harmless.content.decode()
    assert "may now" in html
    assert "set or delete a tag of it or a version" in html
    assert 'role="alert"' not in html
    toxic = client.get(f"{GRANTS}change/?principal=owner&add=approve").content.decode()
    assert 'role="alert"' in toxic
    assert "may make versions of the model and approve them" in toxic


def test_preview_says_when_nothing_changes(
    browser: Browser, owner: User, reader: User
) -> None:
    path = f"{GRANTS}change/?principal=grantee&add=execute"
    html = browser(owner).get(path).content.decode()
    assert "Nobody gains or loses anything" in html


def test_transfer_is_previewed(browser: Browser, owner: User, reader: User) -> None:
    html = browser(owner).get(f"{MODEL}transfer/?owner=grantee").content.decode()
    assert "may no longer" in html
    assert "Type <code>prod.fraud.scorer</code>" in html
    unknown = browser(owner).get(f"{MODEL}transfer/?owner=nobody").content.decode()
    assert "nobody" in unknown
    assert "New owner" in unknown


def test_who_could_names_everybody_and_by_which_path(
    browser: Browser, admin: User, owner: User, reader: User
) -> None:
    html = browser(owner).get(f"{GRANTS}who/").content.decode()
    assert "Who could set, move or delete an alias" in html
    assert "by ownership on model prod.fraud.scorer" in html
    assert "after giving itself the right" in html  # the admin
    assert "/principals/grantee/" not in html
    more = browser(owner).get(f"{GRANTS}who/?operation=download_files")
    assert "/principals/grantee/" in more.content.decode()
    assert browser(owner).get(f"{GRANTS}who/?operation=fly").status_code == 400


def test_owner_grants_until_a_date_and_revokes(
    browser: Browser, owner: User, reader: User, model: RegisteredModel
) -> None:
    client = browser(owner)
    form = {"principal": "grantee", "add": ["apply_tag", "approve"]}
    answer = client.post(
        f"{GRANTS}change/", {**form, "until": "2999-01-01T00:00"}, follow=True
    )
    assert "were changed" in answer.content.decode()
    assert is_allowed(reader, Privilege.APPLY_TAG, model)
    client.post(f"{GRANTS}change/", {"principal": "grantee", "remove": "apply_tag"})
    assert not is_allowed(reader, Privilege.APPLY_TAG, model)
    assert is_allowed(reader, Privilege.APPROVE, model)


def test_grantee_who_posts_anyway_is_refused(
    browser: Browser, reader: User, stranger: User, model: RegisteredModel
) -> None:
    form = {"principal": "grantee", "add": "approve"}
    assert browser(reader).post(f"{GRANTS}change/", form).status_code == 403
    assert browser(stranger).post(f"{GRANTS}change/", form).status_code == 404
    assert not is_allowed(reader, Privilege.APPROVE, model)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"principal": "", "add": "execute"}, "principal"),
        ({"principal": "nobody", "add": "execute"}, "nobody"),
        ({"principal": "grantee"}, "at least one privilege"),
        ({"principal": "grantee", "add": "fly"}, "These can"),
        ({"principal": "grantee", "add": "execute", "until": "soon"}, "until"),
        ({"principal": "grantee", "add": "execute", "until": "2020-01-01"}, "until"),
        ({"principal": "grantee", "add": "execute", "until": "2030-99-01"}, "until"),
    ],
)
def test_wrong_forms_come_back_filled_in_with_the_reason(
    browser: Browser,
    owner: User,
    grantee: User,
    model: RegisteredModel,
    form: dict[str, str],
    words: str,
) -> None:
    client = browser(owner)
    for answer in (
        client.get(f"{GRANTS}change/", form),
        client.post(f"{GRANTS}change/", form),
    ):
        html = answer.content.decode()
        assert answer.status_code in {400, 404}
        assert words in html
        assert f'name="principal" value="{form["principal"]}"' in html
    assert not model.grants.exists()  # type: ignore[attr-defined]  # of ModelGrant


def test_owner_passes_ownership_on_after_typing_the_name(
    browser: Browser, owner: User, grantee: User, model: RegisteredModel
) -> None:
    client = browser(owner)
    form = {"owner": "grantee", "typed": "prod.fraud.score"}
    refused = client.post(f"{MODEL}transfer/confirm/", form)
    assert refused.status_code == 400
    assert "Type prod.fraud.scorer" in refused.content.decode()
    client.post(f"{MODEL}transfer/confirm/", {**form, "typed": "prod.fraud.scorer"})
    model.refresh_from_db()
    assert model.owner == grantee


def test_grantee_and_stranger_cannot_transfer(
    browser: Browser, reader: User, stranger: User, model: RegisteredModel
) -> None:
    form = {"owner": "grantee", "typed": "prod.fraud.scorer"}
    for person, status in ((reader, 403), (stranger, 404)):
        answer = browser(person).post(f"{MODEL}transfer/confirm/", form)
        assert answer.status_code == status
    model.refresh_from_db()
    assert model.owner != reader


def test_why_lists_what_is_met_by_what_and_who_can_grant_the_rest(
    browser: Browser, owner: User, reader: User
) -> None:
    path = f"{GRANTS}why/?principal=grantee&operation="
    html = browser(owner).get(f"{path}apply_tag").content.decode()
    assert "grantee may not set or delete a tag" in html
    assert "can grant it" in html
    assert "Denied" in html
    html = browser(owner).get(f"{path}download_files").content.decode()
    assert "grantee may download the files" in html
    assert "by EXECUTE on schema prod.fraud" in html


def test_grantee_asks_why_only_about_oneself(
    browser: Browser, reader: User, model: RegisteredModel
) -> None:
    client = browser(reader)
    own = client.get(f"{GRANTS}why/?operation=move_alias")
    assert "grantee may not set, move or delete an alias" in own.content.decode()
    other = client.get(f"{GRANTS}why/?principal=owner&operation=move_alias")
    assert other.status_code == 403


def test_unknown_operation_is_refused_with_those_there_are(
    browser: Browser, owner: User, model: RegisteredModel
) -> None:
    answer = browser(owner).get(f"{GRANTS}why/?operation=fly")
    assert answer.status_code == 400
    assert "download_files" in answer.content.decode()


def test_activity_of_a_container_shows_what_is_in_it(
    browser: Browser, owner: User, model: RegisteredModel
) -> None:
    html = browser(owner).get("/objects/schema/prod.fraud/activity/").content.decode()
    assert "created the model" in html


def test_tabs_ask_no_query_per_grant(
    browser: Browser,
    owner: User,
    model: RegisteredModel,
    make_people: Callable[[int], list[User]],
    django_assert_max_num_queries: Any,
) -> None:
    for person in make_people(8):
        access.grant(model, Privilege.EXECUTE, person, principal=owner)
    client = browser(owner)
    with django_assert_max_num_queries(16):
        assert client.get(GRANTS).status_code == 200
