"""Asking for access: the same answer for what is there and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from access import services as access
from access.authz import is_allowed
from access.models import AccessRequest, User
from access.privileges import Privilege
from core.errors import InvalidParameter
from events.models import Event
from registry.models import RegisteredModel

P = Privilege
ASKED = {
    "object": "prod.fraud.scorer",
    "privileges": ["EXECUTE"],
    "reason": "to compare",
}
_OF_THE_ROW = {"id", "requested_at", "object"}


def test_a_stranger_learns_nothing_by_asking(
    model: RegisteredModel, stranger: User, call: Callable[..., Any]
) -> None:
    there = call(stranger, "post", "access-requests", ASKED)
    not_there = call(
        stranger, "post", "access-requests", {**ASKED, "object": "prod.fraud.nothing"}
    )
    assert there.status_code == not_there.status_code == 201
    bodies = [
        {key: value for key, value in answer.json().items() if key not in _OF_THE_ROW}
        for answer in (there, not_there)
    ]
    assert bodies[0] == bodies[1]
    listed = call(stranger, "get", "access-requests").json()["access_requests"]
    assert len(listed) == 2
    seen = Event.objects.filter(actor_id=stranger.pk, type="access.requested")
    assert seen.count() == 2


def test_the_manager_grants_what_was_asked_until_a_time(
    model: RegisteredModel,
    owner: User,
    grantee: User,
    use: Callable[..., None],
    call: Callable[..., Any],
) -> None:
    use(grantee)
    asked = call(grantee, "post", "access-requests", ASKED).json()
    waiting = call(owner, "get", "access-requests").json()["access_requests"]
    assert [one["id"] for one in waiting] == [asked["id"]]

    answer = call(
        owner,
        "post",
        f"access-requests/{asked['id']}/grant",
        {"expires_at": "2099-01-01T00:00:00Z"},
    )

    assert answer.json()["status"] == "granted"
    assert answer.json()["answered_by"] == "owner"
    assert is_allowed(grantee, P.EXECUTE, model)
    assert Event.objects.filter(type="access.granted").count() == 1
    repeated = call(owner, "post", f"access-requests/{asked['id']}/grant", {})
    assert repeated.status_code == 409


def test_only_who_manages_answers(
    model: RegisteredModel,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
    call: Callable[..., Any],
) -> None:
    use(grantee)
    asked = call(grantee, "post", "access-requests", ASKED).json()
    for who in (grantee, stranger):
        for verb in ("grant", "decline"):
            answer = call(who, "post", f"access-requests/{asked['id']}/{verb}", {})
            assert answer.status_code in {403, 404}
    assert AccessRequest.objects.get().status == "pending"
    assert not is_allowed(grantee, P.EXECUTE, model)

    declined = call(
        owner, "post", f"access-requests/{asked['id']}/decline", {"answer": "no"}
    )
    assert declined.json()["status"] == "declined"
    assert Event.objects.filter(type="access.declined").exists()


def test_withdrawing_is_for_who_asked(
    model: RegisteredModel, owner: User, stranger: User, call: Callable[..., Any]
) -> None:
    asked = call(stranger, "post", "access-requests", ASKED).json()
    path = f"access-requests/{asked['id']}/withdraw"
    assert call(owner, "post", path, {}).status_code == 404
    assert call(stranger, "post", path, {}).json()["status"] == "withdrawn"
    assert Event.objects.filter(type="access.withdrawn").exists()


def test_asking_again_finds_the_request_and_nonsense_is_told(
    model: RegisteredModel, stranger: User, call: Callable[..., Any]
) -> None:
    first = call(stranger, "post", "access-requests", ASKED).json()
    assert call(stranger, "post", "access-requests", ASKED).json()["id"] == first["id"]
    wrong = {**ASKED, "privileges": ["USE SCHEMA"], "object": "a.b.c"}
    answer = call(stranger, "post", "access-requests", wrong)
    assert answer.status_code == 400
    assert "EXECUTE" in answer.json()["message"]
    unknown = {**ASKED, "securable_type": "table"}
    assert call(stranger, "post", "access-requests", unknown).status_code == 400
    assert AccessRequest.objects.count() == 1


def test_groups_and_accounts_by_rest(
    admin: User, grantee: User, stranger: User, call: Callable[..., Any]
) -> None:
    assert call(admin, "post", "groups", {"name": "team"}).status_code == 201
    assert call(stranger, "post", "groups", {"name": "mine"}).status_code == 403
    members = "groups/team/members"
    assert call(admin, "post", members, {"member": "grantee"}).status_code == 201
    inside = call(grantee, "get", members).json()["members"]
    assert [one["username"] for one in inside] == ["grantee"]
    assert call(stranger, "get", members).status_code == 404
    assert call(stranger, "post", members, {"member": "stranger"}).status_code == 403
    assert call(admin, "delete", f"{members}/grantee").status_code == 204
    assert call(grantee, "get", members).status_code == 404
    listed = call(stranger, "get", "groups?max_results=1").json()
    assert [one["username"] for one in listed["groups"]] == ["team"]


def test_switching_an_account_off_and_on(
    admin: User, grantee: User, call: Callable[..., Any]
) -> None:
    off = call(admin, "patch", "users/grantee", {"is_active": False})
    assert off.json()["is_active"] is False
    grantee.refresh_from_db()
    assert call(grantee, "get", "tokens").status_code == 401
    assert call(admin, "patch", "users/admin", {"is_active": False}).status_code == 400
    assert call(admin, "patch", "users/grantee", {"is_active": True}).status_code == 200
    types = set(Event.objects.values_list("type", flat=True))
    assert {"principal.deactivated", "principal.activated"} <= types


def test_users_are_listed_page_by_page(
    admin: User, grantee: User, stranger: User, call: Callable[..., Any]
) -> None:
    first = call(stranger, "get", "users?max_results=2").json()
    token = first["next_page_token"]
    rest = call(stranger, "get", f"users?max_results=2&page_token={token}").json()
    names = [one["username"] for one in [*first["users"], *rest["users"]]]
    assert names == ["admin", "grantee", "stranger"]


def test_ownership_by_rest(
    model: RegisteredModel, owner: User, grantee: User, call: Callable[..., Any]
) -> None:
    path = "ownership/model/prod.fraud.scorer"
    assert call(grantee, "put", path, {"owner": "grantee"}).status_code == 404
    assert call(owner, "put", path, {"owner": "grantee"}).status_code == 200
    model.refresh_from_db()
    assert model.owner == grantee


def test_own_grants_are_visible_and_others_are_not(
    model: RegisteredModel,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
    call: Callable[..., Any],
) -> None:
    use(grantee)
    access.grant(model, P.EXECUTE, grantee, principal=owner)
    access.grant(model, P.EXECUTE, stranger, principal=owner)
    path = "permissions/model/prod.fraud.scorer"
    mine = call(grantee, "get", path).json()["grants"]
    assert [one["principal"] for one in mine] == ["grantee"]
    assert len(call(owner, "get", path).json()["grants"]) == 2


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_refused_by_its_field(owner: User, name: str) -> None:
    with pytest.raises(InvalidParameter, match="full_name"):
        access.request_access("model", name, ["EXECUTE"], principal=owner)
