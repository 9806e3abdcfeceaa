"""Asking for access from where one was refused, and answering what others ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from access import services as access
from access.authz import is_allowed
from access.models import AccessRequest, User
from access.privileges import Privilege
from registry.models import RegisteredModel

Browser = Callable[[User], Client]

LIST = "/access-requests/"
FORM = {"kind": "model", "full_name": "prod.fraud.scorer", "add": "execute"}


@pytest.fixture
def asked(grantee: User, model: RegisteredModel) -> AccessRequest:
    """What the grantee, who sees nothing yet, asked for."""
    return access.request_access(
        "model", model.full_name, ["EXECUTE"], reason="Replay", principal=grantee
    )


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("/catalog/prod/", "catalog", "prod"),
        ("/catalog/prod/fraud/", "schema", "prod.fraud"),
        ("/catalog/prod/fraud/scorer/", "model", "prod.fraud.scorer"),
        ("/catalog/prod/fraud/scorer/versions/1/", "model", "prod.fraud.scorer"),
        ("/catalog/prod/fraud/nothing/", "model", "prod.fraud.nothing"),
        ("/objects/endpoint/prod.a.b/permissions/", "endpoint", "prod.a.b"),
        ("/endpoints/prod.a.b/", "endpoint", "prod.a.b"),
    ],
)
def test_who_finds_nothing_may_ask_whether_it_is_there_or_not(
    browser: Browser,
    stranger: User,
    model: RegisteredModel,
    path: str,
    kind: str,
    name: str,
) -> None:
    client = browser(stranger)
    answer = client.get(path)
    assert answer.status_code == 404
    link = f"/access-requests/ask/?kind={kind}&amp;full_name={name}"
    assert link in answer.content.decode()
    form = client.get(link.replace("&amp;", "&")).content.decode()
    assert f'value="{name}"' in form


@pytest.mark.parametrize("name", ["prod.fraud.scorer", "prod.fraud.nothing"])
def test_asking_tells_nothing_of_what_is_there(
    browser: Browser, stranger: User, model: RegisteredModel, name: str
) -> None:
    client = browser(stranger)
    answer = client.post(f"{LIST}send/", {**FORM, "full_name": name}, follow=True)
    assert f"You asked for access to {name}." in answer.content.decode()
    assert "Pending" in answer.content.decode()


@pytest.mark.parametrize(
    "form", [{"add": ""}, {"add": "fly"}, {"kind": "toaster"}, {"full_name": ""}]
)
def test_wrong_wishes_are_refused(
    browser: Browser, stranger: User, model: RegisteredModel, form: dict[str, str]
) -> None:
    answer = browser(stranger).post(f"{LIST}send/", {**FORM, **form})
    assert answer.status_code == 400
    assert not AccessRequest.objects.exists()


def test_owner_grants_what_was_asked(
    browser: Browser, owner: User, grantee: User, asked: AccessRequest
) -> None:
    client = browser(owner)
    assert "asks for access to prod.fraud.scorer" in client.get("/").content.decode()
    assert "Replay" in client.get(LIST).content.decode()
    client.post(f"{LIST}{asked.pk}/grant/", {"answer": "Welcome"})
    held = RegisteredModel.objects.get().grants  # type: ignore[attr-defined]  # of ModelGrant
    assert held.get().user == grantee
    assert "Welcome" in browser(grantee).get(f"{LIST}?show=asked").content.decode()


def test_owner_declines_and_requester_withdraws(
    browser: Browser, owner: User, grantee: User, asked: AccessRequest
) -> None:
    browser(owner).post(f"{LIST}{asked.pk}/decline/", {"answer": "Ask ben"})
    asked.refresh_from_db()
    assert asked.status == "declined"
    again = access.request_access(
        "model", asked.full_name, ["EXECUTE"], principal=grantee
    )
    browser(grantee).post(f"{LIST}{again.pk}/withdraw/")
    again.refresh_from_db()
    assert again.status == "withdrawn"


def test_stranger_and_requester_answer_nothing(
    browser: Browser, grantee: User, stranger: User, asked: AccessRequest
) -> None:
    for person, status in ((grantee, 403), (stranger, 404)):
        answer = browser(person).post(f"{LIST}{asked.pk}/grant/")
        assert answer.status_code in {status, 404}
    asked.refresh_from_db()
    assert asked.status == "pending"
    assert not is_allowed(grantee, Privilege.EXECUTE, RegisteredModel.objects.get())
    assert "prod.fraud.scorer" not in browser(stranger).get(LIST).content.decode()


def test_unknown_answer_is_not_found(
    browser: Browser, owner: User, asked: AccessRequest
) -> None:
    assert browser(owner).post(f"{LIST}{asked.pk}/praise/").status_code == 404
