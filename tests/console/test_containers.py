"""Settings of catalogs and schemas, for owner, manager and others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from events.models import Event
from registry.models import Catalog, RegisteredModel, Schema

Browser = Callable[[User], Client]
CATALOG = "/objects/catalog/prod/settings/"
SCHEMA = "/objects/schema/prod.fraud/settings/"


@pytest.fixture
def manager(grantee: User, use: Callable[..., None], schema: Schema) -> User:
    """The grantee, who holds MANAGE on prod."""
    use(grantee)
    access.grant(
        schema.catalog, Privilege.MANAGE, grantee, principal=schema.catalog.owner
    )
    return grantee


def test_owner_changes_the_rules_of_a_catalog_with_an_event(
    browser: Browser, catalog: Catalog, schema: Schema
) -> None:
    client = browser(catalog.owner)
    sent = {"comment": "serves", "code_policy": "block", "delegated_versions": "on"}
    answer = client.post(f"{CATALOG}change/", sent)
    assert answer.status_code == 302
    catalog.refresh_from_db()
    assert (catalog.comment, catalog.code_policy) == ("serves", "block")
    assert (catalog.delegated_versions, catalog.require_signature) == (True, False)
    event = Event.objects.get(type="catalog.updated")
    assert event.data["after"]["require_signature"] is False
    page = client.get(CATALOG).content.decode()
    assert 'value="block" selected' in page
    model_free = client.get(SCHEMA).content.decode()
    assert "holders of CREATE MODEL VERSION" in model_free


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"code_policy": "maybe"}, "code_policy"),
        ({}, "code_policy"),
        ({"code_policy": "allow", "comment": "x" * 5001}, "comment"),
    ],
)
def test_a_wrong_value_is_told_by_its_field_and_changes_nothing(
    browser: Browser, catalog: Catalog, sent: dict[str, str], field: str
) -> None:
    answer = browser(catalog.owner).post(f"{CATALOG}change/", sent)
    assert answer.status_code == 400
    assert field in answer.content.decode()
    assert not Event.objects.filter(type="catalog.updated").exists()


def test_manager_deletes_an_empty_schema_and_changes_nothing(
    browser: Browser, manager: User, model: RegisteredModel, admin: User
) -> None:
    browser(admin).post(f"{SCHEMA}change/", {"comment": "fraud team"})
    client = browser(manager)
    refused = client.post(f"{SCHEMA}change/", {"comment": "mine"})
    assert refused.status_code == 403
    assert Schema.objects.get().comment == "fraud team"
    assert "Save settings" not in client.get(SCHEMA).content.decode()
    untyped = client.post(f"{SCHEMA}delete/", {"typed": "prod"})
    assert untyped.status_code == 400
    full = client.post(f"{SCHEMA}delete/", {"typed": "prod.fraud"})
    assert full.status_code == 409
    assert "1 model" in full.content.decode()
    RegisteredModel.objects.all().delete()
    assert client.post(f"{SCHEMA}delete/", {"typed": "prod.fraud"}).status_code == 302
    assert not Schema.objects.exists()


def test_who_only_uses_it_reads_the_rules_and_changes_none(
    browser: Browser, owner: User, model: RegisteredModel
) -> None:
    client = browser(owner)
    page = client.get(CATALOG).content.decode()
    assert "Rules for versions" in page
    assert "Save settings" not in page
    for verb in ("change", "delete"):
        sent = {"code_policy": "allow", "typed": "prod"}
        assert client.post(f"{CATALOG}{verb}/", sent).status_code == 403
    assert Catalog.objects.get().code_policy == "review"
    rules = client.get("/catalog/prod/fraud/scorer/settings/").content.decode()
    assert "Rules for versions" in rules


def test_stranger_sees_no_settings(
    browser: Browser, stranger: User, schema: Schema
) -> None:
    for path in (CATALOG, SCHEMA, "/objects/group/prod/settings/"):
        assert browser(stranger).get(path).status_code in {400, 404}
    assert browser(stranger).post(f"{CATALOG}change/").status_code == 404


def test_a_model_has_its_settings_elsewhere(
    browser: Browser, owner: User, model: RegisteredModel
) -> None:
    answer = browser(owner).get("/objects/model/prod.fraud.scorer/settings/")
    assert answer.status_code == 404
