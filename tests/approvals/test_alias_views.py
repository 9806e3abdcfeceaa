"""REST of aliases, for owner, grantee and stranger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest
from registry.models import ModelVersion

ALIASES = "models/prod.fraud.scorer/aliases"
Call = Callable[..., Any]


@pytest.fixture
def second(
    version: ModelVersion, make_version: Callable[..., ModelVersion]
) -> ModelVersion:
    return make_version(version.model, content="2")


def test_owner_sets_moves_and_deletes_an_alias(
    call: Call, second: ModelVersion, owner: User
) -> None:
    created = call(owner, "put", f"{ALIASES}/Shadow", {"version": 1})
    assert (created.status_code, created.json()["version"]) == (200, 1)
    moved = call(owner, "put", f"{ALIASES}/shadow", {"version": 2}).json()
    assert (moved["alias"], moved["version"], moved["generation"]) == ("Shadow", 2, 2)
    assert moved["digest"] == second.digest
    assert call(owner, "get", ALIASES).json()["aliases"] == [moved]
    assert call(owner, "get", f"{ALIASES}/SHADOW").json() == moved

    assert call(owner, "delete", f"{ALIASES}/Shadow").status_code == 204
    assert call(owner, "get", ALIASES).json() == {"aliases": []}
    assert call(owner, "get", f"{ALIASES}/Shadow").status_code == 404
    assert call(owner, "delete", f"{ALIASES}/Shadow").status_code == 404


def test_protected_alias_answers_403_with_the_request(
    call: Call, approval: ApprovalRequest, owner: User
) -> None:
    answered = call(owner, "put", f"{ALIASES}/Champion", {"version": 1})
    assert answered.status_code == 403
    assert answered.json()["details"]["request_id"] == str(approval.id)
    refused = call(owner, "delete", f"{ALIASES}/Champion")
    assert refused.status_code == 403


def test_grantee_sees_but_does_not_move(
    call: Call, version: ModelVersion, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE)
    refused = call(grantee, "put", f"{ALIASES}/Shadow", {"version": 1})
    assert refused.status_code == 403
    assert refused.json()["details"]["reasons"][0]["missing"] == "ownership"
    assert call(grantee, "delete", f"{ALIASES}/Shadow").status_code == 403
    assert call(grantee, "get", ALIASES).status_code == 200


def test_stranger_finds_nothing(
    call: Call, version: ModelVersion, stranger: User
) -> None:
    for method, path in [
        ("get", ALIASES),
        ("get", f"{ALIASES}/Champion"),
        ("get", f"{ALIASES}/Champion/history"),
        ("delete", f"{ALIASES}/Champion"),
    ]:
        assert call(stranger, method, path).status_code == 404
    assert call(stranger, "put", f"{ALIASES}/C", {"version": 1}).status_code == 404


@pytest.mark.parametrize(
    ("alias", "body", "status", "word"),
    [
        ("latest", {"version": 1}, 400, "reserved"),
        ("v7", {"version": 1}, 400, "reserved"),
        ("a.b", {"version": 1}, 400, "not valid"),
        ("Shadow", {}, 400, "version"),
        ("Shadow", {"version": "one"}, 400, "version"),
        ("Shadow", {"version": 0}, 400, "version"),
        ("Shadow", {"version": 10**30}, 400, "version"),
        ("Shadow", {"version": 99}, 404, "no version 99"),
    ],
)
def test_bad_input_names_the_field_and_moves_nothing(
    call: Call,
    version: ModelVersion,
    owner: User,
    alias: str,
    body: dict[str, Any],
    status: int,
    word: str,
) -> None:
    answered = call(owner, "put", f"{ALIASES}/{alias}", body)
    assert answered.status_code == status
    assert word in answered.json()["message"]
    assert call(owner, "get", ALIASES).json() == {"aliases": []}


def test_who_was_champion_on_a_date(
    call: Call, second: ModelVersion, owner: User
) -> None:
    with time_machine.travel("2026-01-01T00:00:00Z", tick=False) as clock:
        call(owner, "put", f"{ALIASES}/Champion", {"version": 1})
        clock.shift(dt.timedelta(days=10))
        call(owner, "put", f"{ALIASES}/Champion", {"version": 2})
    then = call(owner, "get", f"{ALIASES}/Champion?as_of=2026-01-05T00:00:00Z").json()
    assert (then["version"], then["set_by"]) == (1, "owner")
    assert then["set_at"] == "2026-01-01T00:00:00Z"
    before = call(owner, "get", f"{ALIASES}/Champion?as_of=2025-12-31T00:00:00Z")
    assert before.status_code == 404
    wrong = call(owner, "get", f"{ALIASES}/Champion?as_of=yesterday")
    assert wrong.status_code == 400
    assert "as_of" in wrong.json()["message"]


def test_history_names_the_approval_request(
    call: Call, approval: ApprovalRequest, reviewer: User, owner: User
) -> None:
    approvals.decide(approval, "approve", digest=approval.digest, principal=reviewer)
    [move] = call(owner, "get", f"{ALIASES}/Champion/history").json()["moves"]
    assert move["approval_request"] == str(approval.id)
    assert (move["version"], move["previous"], move["until"]) == (1, None, None)


def test_history_comes_in_pages(call: Call, second: ModelVersion, owner: User) -> None:
    for number in (1, 2, 1):
        call(owner, "put", f"{ALIASES}/Shadow", {"version": number})
    path = f"{ALIASES}/Shadow/history"
    whole = call(owner, "get", path).json()["moves"]
    assert [move["generation"] for move in whole] == [3, 2, 1]
    assert [move["until"] for move in whole[1:]] == [
        move["moved_at"] for move in whole[:-1]
    ]
    first = call(owner, "get", f"{path}?max_results=2").json()
    token = first["next_page_token"]
    rest = call(owner, "get", f"{path}?max_results=2&page_token={token}").json()
    assert first["moves"] + rest["moves"] == whole
    assert "next_page_token" not in rest
    assert call(owner, "get", f"{path}?page_token=x").status_code == 400
    assert call(owner, "get", f"{ALIASES}/Other/history").status_code == 404
