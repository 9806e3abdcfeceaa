"""What belongs to a scope; a name alone does not say where a thing is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from access import services as access
from access.models import AccessToken, Group, User
from access.privileges import Privilege
from core.errors import InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from events.services import emit
from events.types import EventType
from registry.models import Experiment, RegisteredModel, Schema
from runners.models import Pipeline
from serving.models import Endpoint
from webhooks import scopes, services
from webhooks.models import Webhook

E = EventType


def happened(kind: EventType, subject: Any, admin: User, **data: Any) -> Event:
    with transaction.atomic():
        return emit(kind, subject, principal=admin, **data)


def event_of(subject_type: str, name: str, **data: Any) -> Event:
    return Event(
        type="alias.set", subject_type=subject_type, subject_name=name, data=data
    )


def webhook_of(scope_type: str, scope: str) -> Webhook:
    return Webhook(scope_type=scope_type, scope=scope, event_types=["*"])


@pytest.mark.parametrize(
    ("scope_type", "scope", "subject_type", "name", "data", "is_wanted"),
    [
        ("catalog", "prod", "catalog", "prod", {}, True),
        ("catalog", "prod", "schema", "prod.fraud", {}, True),
        ("catalog", "prod", "dataset", "prod.fraud.cells", {}, True),
        ("catalog", "prod", "snapshot", "prod.fraud.cells/0a1b", {}, True),
        ("catalog", "prod", "accessrequest", "prod", {}, True),
        ("catalog", "prod", "user", "prod", {}, False),
        ("catalog", "prod", "user", "prod.fraud.scorer", {}, False),
        ("catalog", "prod", "group", "prod", {}, False),
        ("catalog", "prod", "metastore", "prod", {}, False),
        ("catalog", "prod", "webhook", "prod.example.com/0a1b", {}, False),
        ("catalog", "prod", "modelserver", "prod", {}, False),
        ("schema", "prod.fraud", "schema", "prod.fraud", {}, True),
        ("schema", "prod.fraud", "schema", "prod.fraud2", {}, False),
        ("schema", "prod.fraud", "policy", "prod.fraud@Champion", {}, True),
        ("schema", "prod.fraud", "catalog", "prod", {}, False),
        ("model", "prod.fraud.a", "registeredmodel", "prod.fraud.a", {}, True),
        ("model", "prod.fraud.a", "modelversion", "prod.fraud.a/3", {}, True),
        ("model", "prod.fraud.a", "approvalrequest", "prod.fraud.a@C", {}, True),
        ("model", "prod.fraud.a", "pipeline", "prod.fraud.a", {}, False),
        ("model", "prod.fraud.a", "endpoint", "prod.fraud.b", {}, False),
        (
            "model",
            "prod.fraud.a",
            "endpoint",
            "prod.fraud.b",
            {"model": "prod.fraud.a"},
            True,
        ),
        ("pipeline", "prod.fraud.a", "pipeline", "prod.fraud.a", {}, True),
        ("pipeline", "prod.fraud.a", "run", "prod.fraud.a/77e0", {}, True),
        ("pipeline", "prod.fraud.a", "registeredmodel", "prod.fraud.a", {}, False),
        ("endpoint", "prod.fraud.a", "endpoint", "prod.fraud.a", {}, True),
        ("endpoint", "prod.fraud.a", "registeredmodel", "prod.fraud.a", {}, False),
    ],
)
def test_what_belongs_to_a_scope(
    scope_type: str,
    scope: str,
    subject_type: str,
    name: str,
    data: dict[str, Any],
    is_wanted: bool,
) -> None:
    event = event_of(subject_type, name, **data)
    assert scopes.wants(webhook_of(scope_type, scope), event) == is_wanted


def test_experiment_belongs_to_its_schema_and_not_to_its_name(
    schema: Schema, admin: User
) -> None:
    rows = Experiment.objects
    alone = rows.create(name="prod", experiment_id="7", owner=admin)
    inside = rows.create(name="any", experiment_id="8", owner=admin, schema=schema)
    catalog, of_schema = (
        webhook_of("catalog", "prod"),
        webhook_of("schema", "prod.fraud"),
    )
    elsewhere = happened(E.EXPERIMENT_CREATED, alone, admin)
    here = happened(E.EXPERIMENT_CREATED, inside, admin)
    assert not scopes.wants(catalog, elsewhere)
    assert scopes.wants(catalog, here)
    assert scopes.wants(of_schema, here)


@pytest.mark.parametrize("kind", [User, Group, AccessToken])
def test_kinds_that_are_named_freely_are_known(kind: Any) -> None:
    assert kind._meta.model_name in scopes._FREELY_NAMED


# --- pipelines and endpoints --------------------------------------------------


@pytest.fixture
def objects(model: RegisteredModel, owner: User) -> dict[str, str]:
    """A pipeline and an endpoint as rows, by the type of their scope."""
    Endpoint.objects.create(
        schema=model.schema,
        name="pay",
        full_name="prod.fraud.pay",
        owner=owner,
        model=model,
        alias="Champion",
        run_as=owner,
        plan={},
    )
    return {"endpoint": "prod.fraud.pay", "model": model.full_name}


@pytest.mark.parametrize("scope_type", ["endpoint", "model"])
def test_owner_and_holder_of_manage_subscribe_to_an_object(
    objects: dict[str, str],
    scope_type: str,
    make_webhook: Callable[..., Webhook],
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
) -> None:
    scope = {"scope_type": scope_type, "scope": objects[scope_type]}
    made = make_webhook(principal=owner, **scope)
    with pytest.raises(NotFound):
        make_webhook(principal=stranger, **scope)
    with pytest.raises(NotFound):
        services.get_webhook(made.pk, principal=grantee)
    use(grantee, Privilege.MANAGE)
    make_webhook(principal=grantee, **scope)
    assert services.get_webhook(made.pk, principal=grantee) == made


def test_kinds_of_scopes_are_kinds_of_securables() -> None:
    assert Pipeline._meta.model_name == "pipeline"
    assert Endpoint._meta.model_name == "endpoint"


# --- who changes a webhook ----------------------------------------------------


def test_manager_who_changes_the_address_answers_for_it(
    make_webhook: Callable[..., Webhook],
    model: RegisteredModel,
    owner: User,
    grantee: User,
    use: Callable[..., None],
) -> None:
    use(grantee, Privilege.MANAGE)
    scope = {"scope_type": "model", "scope": model.full_name}
    webhook = make_webhook(principal=owner, **scope)
    services.update_webhook(webhook, {"description": "CI"}, principal=grantee)
    assert webhook.created_by == owner
    services.update_webhook(
        webhook, {"url": "https://example.com/mine"}, principal=grantee
    )
    assert webhook.created_by == grantee
    changed = Event.objects.filter(type=E.WEBHOOK_UPDATED).latest("sequence")
    assert changed.data["changed"] == ["created_by", "url"]
    assert "mine" not in str(changed.data)


def test_creator_who_lost_manage_changes_no_address(
    make_webhook: Callable[..., Webhook],
    schema: Schema,
    grantee: User,
    stranger: User,
    admin: User,
    use: Callable[..., None],
) -> None:
    use(grantee, Privilege.MANAGE)
    webhook = make_webhook(principal=grantee, scope_type="schema", scope="prod.fraud")
    access.revoke(schema, Privilege.MANAGE, grantee, principal=admin)
    for change in ({"url": "https://example.com/x"}, {"event_types": ["*"]}):
        with pytest.raises(PermissionDenied):
            services.update_webhook(webhook, change, principal=grantee)
        with pytest.raises(NotFound):
            services.update_webhook(webhook, change, principal=stranger)
    services.disable_webhook(webhook, principal=grantee)


def test_change_to_the_same_is_no_event(webhook: Webhook, admin: User) -> None:
    services.update_webhook(webhook, {"url": webhook.url}, principal=admin)
    assert not Event.objects.filter(type=E.WEBHOOK_UPDATED).exists()


def test_scope_of_a_webhook_is_not_changed(webhook: Webhook, admin: User) -> None:
    with pytest.raises(InvalidParameter, match="scope"):
        services.update_webhook(webhook, {"scope": "prod"}, principal=admin)
