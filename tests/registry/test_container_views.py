"""REST of catalogs and schemas, for owner, grantee and stranger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from events.models import Event
from registry import services as registry
from registry.models import Catalog, RegisteredModel, Schema

Call = Callable[..., Any]


def told(event_type: str) -> list[dict[str, Any]]:
    return [event.data for event in Event.objects.filter(type=event_type)]


def test_catalog_from_birth_to_death(call: Call, admin: User) -> None:
    made = call(admin, "post", "catalogs", {"name": "dev", "comment": "ours"})
    assert made.status_code == 201
    assert call(admin, "get", "catalogs/dev").json() == made.json()
    changed = call(admin, "patch", "catalogs/dev", {"delegated_versions": True}).json()
    assert (changed["delegated_versions"], changed["comment"]) == (True, "ours")
    again = call(admin, "patch", "catalogs/dev", {"delegated_versions": True})
    assert again.status_code == 200
    assert told("catalog.updated") == [
        {"before": {"delegated_versions": False}, "after": {"delegated_versions": True}}
    ]
    assert call(admin, "delete", "catalogs/dev").status_code == 204
    assert call(admin, "get", "catalogs/dev").status_code == 404
    [event] = Event.objects.filter(type="catalog.deleted")
    assert (event.subject_name, str(event.subject_id)) == ("dev", changed["id"])


def test_schema_from_birth_to_death(call: Call, catalog: Catalog, admin: User) -> None:
    made = call(admin, "post", "schemas", {"name": "prod.risk"})
    assert (made.status_code, made.json()["full_name"]) == (201, "prod.risk")
    changed = call(admin, "patch", "schemas/prod.risk", {"comment": "credit"}).json()
    assert call(admin, "get", "schemas/prod.risk").json() == changed
    assert told("schema.updated") == [
        {"before": {"comment": ""}, "after": {"comment": "credit"}}
    ]
    assert call(admin, "delete", "schemas/prod.risk").status_code == 204
    assert call(admin, "get", "schemas/prod.risk").status_code == 404
    assert len(told("schema.deleted")) == 1


def test_what_holds_something_is_not_deleted(
    call: Call, model: RegisteredModel, admin: User
) -> None:
    refused = call(admin, "delete", "catalogs/prod")
    assert refused.status_code == 409
    assert "prod still holds 1 schema" in refused.json()["message"]
    refused = call(admin, "delete", "schemas/prod.fraud")
    assert refused.status_code == 409
    assert "prod.fraud still holds 1 model" in refused.json()["message"]
    assert Schema.objects.filter(pk=model.schema_id).exists()
    assert call(model.owner, "get", f"models/{model.full_name}").status_code == 200


def test_owner_of_the_catalog_deletes_a_schema_of_someone_else(
    call: Call, catalog: Catalog, admin: User, owner: User
) -> None:
    access.grant(catalog, Privilege.USE_CATALOG, owner, principal=admin)
    access.grant(catalog, Privilege.CREATE_SCHEMA, owner, principal=admin)
    registry.create_schema("prod.mine", principal=owner)
    change = call(admin, "patch", "schemas/prod.mine", {"comment": "x"})
    assert change.status_code == 403
    assert change.json()["details"]["reasons"][0]["missing"] == "ownership"
    assert call(admin, "delete", "schemas/prod.mine").status_code == 204


@pytest.mark.parametrize("path", ["catalogs/prod", "schemas/prod.fraud"])
def test_grantee_reads_and_changes_nothing(
    call: Call, grantee: User, use: Callable[..., None], path: str
) -> None:
    use(grantee, Privilege.CREATE_MODEL)
    assert call(grantee, "get", path).status_code == 200
    assert call(grantee, "patch", path, {"comment": "mine"}).status_code == 403
    refused = call(grantee, "delete", path)
    assert refused.status_code == 403
    assert refused.json()["details"]["reasons"][0]["missing"] == "MANAGE"


def test_holder_of_manage_deletes_but_does_not_change(
    call: Call, schema: Schema, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.MANAGE)
    changed = call(grantee, "patch", "schemas/prod.fraud", {"comment": "mine"})
    assert changed.status_code == 403
    assert call(grantee, "delete", "schemas/prod.fraud").status_code == 204


@pytest.mark.parametrize("path", ["catalogs/prod", "schemas/prod.fraud"])
def test_stranger_finds_nothing(
    call: Call, schema: Schema, stranger: User, path: str
) -> None:
    for method in ("get", "delete"):
        assert call(stranger, method, path).status_code == 404
    assert call(stranger, "patch", path, {"comment": "x"}).status_code == 404
    assert call(stranger, "get", "catalogs").json() == {"catalogs": []}
    assert call(stranger, "get", "schemas").json() == {"schemas": []}
    assert call(stranger, "post", "catalogs", {"name": "mine"}).status_code == 403
    assert call(stranger, "post", "schemas", {"name": "prod.x"}).status_code == 404


def test_lists_come_in_pages_by_name(call: Call, admin: User) -> None:
    for name in ("c", "a", "b"):
        registry.create_catalog(name, principal=admin)
        registry.create_schema(f"{name}.z", principal=admin)
        registry.create_schema(f"{name}.y", principal=admin)
    first = call(admin, "get", "catalogs?max_results=2").json()
    token = first["next_page_token"]
    rest = call(admin, "get", f"catalogs?max_results=2&page_token={token}").json()
    names = [row["name"] for row in first["catalogs"] + rest["catalogs"]]
    assert (names, "next_page_token" in rest) == (["a", "b", "c"], False)

    seen, token = [], ""
    while True:
        page = call(admin, "get", f"schemas?max_results=4&page_token={token}").json()
        seen += [row["full_name"] for row in page["schemas"]]
        if not (token := page.get("next_page_token", "")):
            break
    assert seen == ["a.y", "a.z", "b.y", "b.z", "c.y", "c.z"]
    of_b = call(admin, "get", "schemas?catalog=b").json()["schemas"]
    assert [row["full_name"] for row in of_b] == ["b.y", "b.z"]


def test_lists_cost_the_same_however_long(
    call: Call, admin: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        registry.create_catalog(f"c{number}", principal=admin)
    with django_assert_max_num_queries(12):  # half of them issue the token
        assert len(call(admin, "get", "catalogs").json()["catalogs"]) == 30


@pytest.mark.parametrize(
    ("method", "path", "body", "word"),
    [
        ("post", "catalogs", {"name": "a.b"}, "catalog"),
        ("post", "catalogs", {"name": ""}, "name"),
        ("post", "catalogs", {}, "name"),
        ("post", "catalogs", {"name": "ок"}, "catalog"),
        ("post", "catalogs", {"name": "a" * 257}, "name"),
        ("post", "catalogs", {"name": ["x"]}, "name"),
        ("post", "schemas", {"name": "prod"}, "catalog.schema"),
        ("post", "schemas", {"name": "prod.a/b"}, "schema"),
        ("patch", "catalogs/prod", {"delegated_versions": "perhaps"}, "delegated"),
        ("patch", "catalogs/prod", {"comment": None}, "comment"),
        ("patch", "schemas/prod.fraud", {}, "comment"),
        ("get", "catalogs?max_results=0", None, "max_results"),
        ("get", "catalogs?max_results=many", None, "max_results"),
        ("get", "schemas?page_token=forged", None, "page_token"),
    ],
)
def test_bad_input_names_the_field(
    call: Call,
    schema: Schema,
    admin: User,
    method: str,
    path: str,
    body: Any,
    word: str,
) -> None:
    before = (
        Event.objects.exclude(type="token.issued").exclude(outcome="denied").count()
    )
    answered = call(admin, method, path, body)
    assert answered.status_code == 400
    assert word in answered.json()["message"]
    assert (
        Event.objects.exclude(type="token.issued").exclude(outcome="denied").count()
        == before
    )
