"""Unity Catalog's own API of grants, effective privileges and owners."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from access import services as access
from access.authz import is_allowed
from access.models import User
from access.privileges import Privilege
from events.models import Event
from mlflow_api.messages import denied
from registry.models import Metastore, RegisteredModel
from tests.factories import UserFactory

P = Privilege
Call = Callable[..., Any]
UC = "/api/2.1/unity-catalog"
MODEL = "prod.fraud.scorer"
DIRECT = f"{UC}/permissions/function/{MODEL}"
EFFECTIVE = f"{UC}/effective-permissions/function/{MODEL}"


@pytest.fixture
def call(client: Client, bearer: Callable[[User], dict[str, str]]) -> Call:
    """Send a request as somebody, and return status and answer."""
    headers: dict[str, dict[str, str]] = {}

    def send(who: User, method: str, url: str, body: Any = None) -> tuple[int, Any]:
        token = headers.setdefault(who.username, bearer(who))
        text = "" if body is None else json.dumps(body)
        answer = client.generic(method, url, text, "application/json", headers=token)
        return answer.status_code, answer.json()

    return send


@pytest.fixture
def change(call: Call) -> Call:
    def send(who: User, *changes: Any, url: str = DIRECT) -> tuple[int, Any]:
        answer: tuple[int, Any] = call(who, "PATCH", url, {"changes": list(changes)})
        return answer

    return send


def held(answer: tuple[int, Any]) -> dict[str, Any]:
    status, body = answer
    assert status == 200, body
    return {a["principal"]: a["privileges"] for a in body["privilege_assignments"]}


def add(who: str, *privileges: str) -> dict[str, Any]:
    return {"principal": who, "add": list(privileges)}


def test_owner_grants_and_revokes_and_twice_is_once(
    model: RegisteredModel, owner: User, grantee: User, change: Call, call: Call
) -> None:
    both = {"principal": "grantee", "add": ["EXECUTE", "apply tag"]}
    for _ in range(2):
        assert held(change(owner, both)) == {"grantee": ["APPLY_TAG", "EXECUTE"]}
    assert Event.objects.filter(type="grant.added", subject_name=MODEL).count() == 2

    take = {"principal": "grantee", "remove": ["APPLY_TAG", "APPROVE"]}
    for _ in range(2):
        assert held(change(owner, take)) == {"grantee": ["EXECUTE"]}
    assert held(call(owner, "GET", DIRECT)) == {"grantee": ["EXECUTE"]}


@pytest.mark.parametrize("kind", ["function", "registered_model", "model", "FUNCTION"])
def test_a_model_has_the_names_of_both_catalogs(
    model: RegisteredModel, owner: User, call: Call, kind: str
) -> None:
    assert call(owner, "GET", f"{UC}/permissions/{kind}/{MODEL}") == (
        200,
        {"privilege_assignments": []},
    )


def test_manager_container_owner_and_admin_see_and_change(
    model: RegisteredModel,
    admin: User,
    grantee: User,
    change: Call,
    call: Call,
    use: Call,
) -> None:
    manager, landlord = UserFactory(username="boss"), UserFactory(username="landlord")
    use(manager)
    access.grant(model, P.MANAGE, manager, principal=admin)
    access.transfer_ownership(model.schema, landlord, principal=admin)
    for who in (manager, landlord, admin):
        assert held(change(who, add("grantee", "EXECUTE")))["grantee"] == ["EXECUTE"]
        assert set(held(call(who, "GET", DIRECT))) == {"boss", "grantee"}
        assert held(call(who, "GET", f"{DIRECT}?principal=grantee"))
        held(change(who, {"principal": "grantee", "remove": ["EXECUTE"]}))


def test_grantee_sees_its_own_and_changes_nothing(
    model: RegisteredModel,
    owner: User,
    grantee: User,
    change: Call,
    call: Call,
    use: Call,
) -> None:
    use(grantee)
    held(change(owner, add("grantee", "EXECUTE"), add("owner", "APPROVE")))
    mine = {"grantee": ["EXECUTE"]}
    assert held(call(grantee, "GET", DIRECT)) == mine
    assert held(call(grantee, "GET", f"{DIRECT}?principal=grantee")) == mine
    assert set(held(call(grantee, "GET", EFFECTIVE))) == {"grantee"}
    for url in (DIRECT, EFFECTIVE):
        status, body = call(grantee, "GET", f"{url}?principal=owner")
        assert (status, body["error_code"]) == (403, "PERMISSION_DENIED")
        assert body["details"]["reasons"][0]["who_can_grant"]
    assert change(grantee, add("grantee", "APPROVE"))[0] == 403
    assert held(call(owner, "GET", f"{DIRECT}?principal=grantee")) == mine


def test_stranger_reads_the_same_of_what_is_there_and_what_is_not(
    model: RegisteredModel, stranger: User, change: Call, call: Call
) -> None:
    absent = MODEL.replace("scorer", "nobody")
    requests: list[tuple[str, str, Any]] = [
        ("GET", DIRECT, None),
        ("GET", f"{DIRECT}?principal=none", None),
        ("GET", f"{EFFECTIVE}?principal=owner", None),
        ("PATCH", DIRECT, {"changes": [add("none", "EXECUTE")]}),
        ("PATCH", f"{UC}/models/{MODEL}", {"owner": "none"}),
    ]
    for method, url, body in requests:
        status, seen = call(stranger, method, url, body)
        other = call(stranger, method, url.replace(MODEL, absent), body)
        assert status == 404
        assert (404, seen["message"].replace(MODEL, absent)) == (
            other[0],
            other[1]["message"],
        )
    assert not Event.objects.filter(subject_name=MODEL, type="grant.added").exists()


def test_nobody_without_a_token(client: Client, model: RegisteredModel) -> None:
    for url in (DIRECT, EFFECTIVE):
        assert client.get(url).status_code == 401
    assert client.patch(f"{UC}/models/{MODEL}", {}).status_code == 401


def test_creating_catalogs_is_granted_on_the_metastore(
    admin: User, grantee: User, owner: User, change: Call, call: Call
) -> None:
    url = f"{UC}/permissions/metastore/metastore"
    wish = add("grantee", "CREATE_CATALOG")
    assert change(grantee, wish, url=url)[0] == 403
    assert held(change(admin, wish, url=url)) == {"grantee": ["CREATE_CATALOG"]}
    assert held(call(grantee, "GET", url)) == {"grantee": ["CREATE_CATALOG"]}
    assert held(call(owner, "GET", url)) == {}
    assert is_allowed(grantee, P.CREATE_CATALOG, Metastore.objects.get())


def test_effective_privileges_name_where_they_come_from(
    model: RegisteredModel, admin: User, grantee: User, call: Call
) -> None:
    inner = access.create_group("inner", principal=admin)
    outer = access.create_group("outer", principal=admin)
    access.add_member(inner, grantee, principal=admin)
    access.add_member(outer, inner, principal=admin)
    catalog, schema = model.schema.catalog, model.schema
    access.grant(catalog, P.USE_CATALOG, outer, principal=admin)
    access.grant(catalog, P.CREATE_SCHEMA, outer, principal=admin)
    access.grant(schema, P.USE_SCHEMA, inner, principal=admin)
    access.grant(schema, P.ALL_PRIVILEGES, inner, principal=admin)
    access.grant(model, P.EXECUTE, grantee, principal=admin)

    own = {"privilege": "EXECUTE"}
    by_schema = [
        {
            "privilege": privilege,
            "inherited_from_type": "SCHEMA",
            "inherited_from_name": "prod.fraud",
        }
        for privilege in ("ALL_PRIVILEGES", "USE_SCHEMA")
    ]
    by_catalog = {
        "privilege": "USE_CATALOG",
        "inherited_from_type": "CATALOG",
        "inherited_from_name": "prod",
    }
    whole = [own, *by_schema, by_catalog]
    assert held(call(grantee, "GET", EFFECTIVE)) == {"grantee": whole}
    assert held(call(grantee, "GET", f"{EFFECTIVE}?principal=outer")) == {
        "outer": [by_catalog]
    }
    everybody = held(call(admin, "GET", EFFECTIVE))
    assert everybody["grantee"] == whole
    assert everybody["inner"] == [*by_schema, by_catalog]
    assert everybody["outer"] == [by_catalog]

    access.remove_member(inner, grantee, principal=admin)
    assert held(call(admin, "GET", f"{EFFECTIVE}?principal=grantee")) == {
        "grantee": [own]
    }


def test_what_counts_no_more_is_not_there(
    model: RegisteredModel, owner: User, grantee: User, call: Call
) -> None:
    tomorrow = timezone.now() + dt.timedelta(days=1)
    access.grant(model, P.EXECUTE, grantee, expires_at=tomorrow, principal=owner)
    for url in (DIRECT, EFFECTIVE):
        assert "grantee" in held(call(owner, "GET", url))
    with time_machine.travel(tomorrow):
        for url in (DIRECT, EFFECTIVE):
            assert "grantee" not in held(call(owner, "GET", url))


def test_pages_hold_whole_principals_and_belong_to_one_question(
    model: RegisteredModel,
    owner: User,
    grantee: User,
    stranger: User,
    call: Call,
    change: Call,
) -> None:
    names = ["grantee", "owner", "stranger"]
    held(change(owner, *(add(name, "EXECUTE", "APPROVE") for name in names)))
    seen: list[str] = []
    query = "?max_results=2"
    while query:
        status, body = call(owner, "GET", DIRECT + query)
        assert status == 200
        for assignment in body["privilege_assignments"]:
            assert assignment["privileges"] == ["APPROVE", "EXECUTE"]
            seen.append(assignment["principal"])
        token = body.get("next_page_token", "")
        query = f"?max_results=2&page_token={token}" if token else ""
        if token:
            assert call(owner, "GET", f"{EFFECTIVE}{query}")[0] == 400
    assert seen == names


BAD = [
    {},
    {"changes": []},
    {"changes": {}},
    {"changes": ["x"]},
    {"changes": [{"add": ["EXECUTE"]}]},
    {"changes": [{"principal": "grantee", "add": "EXECUTE"}]},
    {"changes": [{"principal": "grantee", "add": [1]}]},
    {"changes": [{"principal": "grantee", "ad": ["EXECUTE"]}]},
    {"changes": [{"principal": 7, "add": ["EXECUTE"]}]},
    {"changes": [add("grantee", "EXECUTE")], "dry_run": True},
    {"changes": [{**add("grantee", "EXECUTE"), "remove": ["execute"]}]},
    {"changes": [add("grantee", "APPROVE"), add("grantee", "SELECT")]},
    {"changes": [add("grantee", "APPROVE"), add("owner", "USE_SCHEMA")]},
]


@pytest.mark.parametrize("body", BAD)
def test_bad_changes_name_the_fix_and_change_nothing(
    model: RegisteredModel, owner: User, grantee: User, call: Call, body: Any
) -> None:
    status, answer = call(owner, "PATCH", DIRECT, body)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert held(call(owner, "GET", DIRECT)) == {}


def test_all_or_nothing(
    model: RegisteredModel, owner: User, grantee: User, change: Call, call: Call
) -> None:
    status, body = change(owner, add("grantee", "EXECUTE"), add("nobody", "EXECUTE"))
    assert (status, "nobody" in body["message"]) == (404, True)
    assert held(call(owner, "GET", DIRECT)) == {}


@pytest.mark.parametrize(
    "query",
    [
        "principal=a&principal=b",
        "who=x",
        "max_results=-1",
        "max_results=x",
        "page_token=x",
    ],
)
def test_a_question_that_reads_two_ways_is_refused(
    model: RegisteredModel, owner: User, call: Call, query: str
) -> None:
    for url in (DIRECT, EFFECTIVE):
        status, body = call(owner, "GET", f"{url}?{query}")
        assert (status, body["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_bodies_where_none_belongs_and_keys_given_twice(
    model: RegisteredModel, owner: User, client: Client, call: Call, bearer: Call
) -> None:
    assert call(owner, "GET", DIRECT, {"principal": "x"})[0] == 400
    assert call(owner, "PATCH", f"{DIRECT}?principal=x", {"changes": []})[0] == 400
    twice = f'{{"owner": "{owner}", "owner": "admin"}}'
    answer = client.generic(
        "PATCH", f"{UC}/models/{MODEL}", twice, headers=bearer(owner)
    )
    assert answer.status_code == 400


def test_ownership_passes_on(
    model: RegisteredModel, admin: User, owner: User, grantee: User, call: Call
) -> None:
    status, body = call(owner, "PATCH", f"{UC}/models/{MODEL}", {"owner": "grantee"})
    assert (status, body["owner"], body["full_name"]) == (200, "grantee", MODEL)
    model.refresh_from_db()
    assert model.owner == grantee
    for url, who in (("schemas/prod.fraud", grantee), ("catalogs/prod", owner)):
        status, body = call(admin, "PATCH", f"{UC}/{url}", {"owner": who.username})
        assert (status, body["owner"]) == (200, who.username)


def test_grantee_takes_no_ownership(
    model: RegisteredModel, owner: User, grantee: User, call: Call, use: Call
) -> None:
    use(grantee, P.EXECUTE)
    for url in (f"models/{MODEL}", "schemas/prod.fraud", "catalogs/prod"):
        assert call(grantee, "PATCH", f"{UC}/{url}", {"owner": "grantee"})[0] == 403
    for body in ({}, {"owner": "grantee", "comment": "x"}, {"owner": ["grantee"]}):
        assert call(owner, "PATCH", f"{UC}/models/{MODEL}", body)[0] == 400
    model.refresh_from_db()
    assert model.owner == owner


def test_the_rest_of_unity_catalog_is_denied(
    model: RegisteredModel, owner: User, call: Call
) -> None:
    for path in ("tables", f"models/{MODEL}/versions", "catalogs", "shares/x"):
        assert resolve(f"{UC}/{path}").func == denied
    for method in ("PUT", "POST", "DELETE"):
        assert call(owner, method, DIRECT, {})[0] == 403
    assert call(owner, "GET", f"{UC}/models/{MODEL}")[0] == 403
    assert call(owner, "GET", f"{UC}/permissions/table/{MODEL}")[0] == 400
