"""Every row of the reference's table, for every role, by REST and as MLflow asks.

A row is data: what is asked, and which roles may. Everybody else is refused, with
404 if they may not know of the object, else with 403 and reasons; nothing changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import transaction
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest
from events.models import Event
from registry import services as registry
from registry.models import Catalog, ModelVersion, RegisteredModel
from runners.models import Pipeline
from serving.models import Endpoint
from tests.access import scenes
from tests.access.worlds import put_grant
from tests.factories import GroupFactory, MembershipFactory, UserFactory

P = Privilege
MODEL, SCHEMA = "prod.fraud.scorer", "prod.fraud"
NAMED: dict[str, Any] = {"name": MODEL}
ROLES = (
    "owner",
    "member",
    "schema_owner",
    "catalog_owner",
    "manager",
    "grantee",
    "expired",
    "browser",
    "stranger",
)
OWNERS = {"owner", "member"}
GRANTED = {*OWNERS, "grantee"}
POWER = {*OWNERS, "manager", "schema_owner", "catalog_owner"}
LOOKS = {*POWER, "grantee"}
SEES = {*LOOKS, "browser"}
EVERYBODY = set(ROLES)


@dataclass(frozen=True)
class Row:
    """One row of the table: a call of each face, and who is let through."""

    code: str
    words: str
    allowed: set[str]
    rest: tuple[str, str, Any] | None = None
    mlflow: tuple[str, str, Any] | None = None
    # what the grantee holds; on the object of the row
    grant: Privilege = P.EXECUTE
    on: str = "model"
    # what everybody is given besides, so that only the row's need decides
    besides: dict[str, Privilege] = field(default_factory=dict)
    is_delegated: bool = False
    has_alias: bool = False
    # a stranger's refusal tells nothing, where the object is no secret
    is_public: bool = False
    # who is told nothing; an object below the one of the row may be hidden further
    hidden: frozenset[str] = frozenset({"stranger"})
    # builds what the row needs besides, and names it for the path and the body
    scene: Callable[[ModelVersion], dict[str, str]] | None = None

    def __str__(self) -> str:
        return f"{self.code} {self.words}"


def row(code: str, words: str, allowed: set[str], **more: Any) -> Row:
    return Row(code, words, allowed, **more)


# an endpoint, a run or a request is shown to who sees it, not to who passes the borders
UNSEEN = frozenset({"stranger", "expired"})
HOOK = {
    "url": "https://127.0.0.1/hook",
    "event_types": ["alias.set"],
    "scope_type": "model",
    "scope": MODEL,
}
OPEN = "models:/dev.open.source/1"
VERSION = {"name": MODEL, "version": "1"}
EXECUTABLE = f"mlflow-artifacts/artifacts/greenlight/{MODEL}/1/MLmodel"
GRANT = {"changes": [{"principal": "admin", "add": ["EXECUTE"]}]}
GRANT_USE = {"changes": [{"principal": "admin", "add": ["USE SCHEMA"]}]}
ABOUT_ADMIN = {"principal": "admin", "operation": "see_model", "object": MODEL}
POLICY = {"securable_type": "model", "full_name": MODEL, "alias_pattern": "Gold"}
ASKED = {"object": MODEL, "privileges": ["EXECUTE"]}

ROWS = [
    row("P-1", "create a catalog", {"grantee"}, grant=P.CREATE_CATALOG,
        on="metastore", rest=("POST", "catalogs", {"name": "new"}), is_public=True),
    row("P-2", "create a schema", GRANTED, grant=P.CREATE_SCHEMA, on="catalog",
        rest=("POST", "schemas", {"name": "prod.new"})),
    row("P-3", "create a model", GRANTED, grant=P.CREATE_MODEL, on="schema",
        rest=("POST", "models", {"name": f"{SCHEMA}.new"}),
        mlflow=("POST", "mlflow/registered-models/create", {"name": f"{SCHEMA}.new"})),
    row("P-4", "see a model", SEES, rest=("GET", f"models/{MODEL}", None),
        mlflow=("GET", "mlflow/registered-models/get", NAMED)),
    row("P-5", "see a version", LOOKS, rest=("GET", f"models/{MODEL}/versions/1", None),
        mlflow=("GET", "mlflow/model-versions/get", VERSION)),
    row("P-5", "get by alias", LOOKS, has_alias=True,
        rest=("GET", f"models/{MODEL}/aliases/Shadow", None),
        mlflow=("GET", "mlflow/registered-models/alias", {**NAMED, "alias": "Shadow"})),
    row("P-6", "download", GRANTED,
        mlflow=("GET", "mlflow/model-versions/get-download-uri", VERSION)),
    row("P-7", "read the bytes", GRANTED, mlflow=("GET", EXECUTABLE, None)),
    row("P-8", "steer a rollout", GRANTED, grant=P.SHIFT_TRAFFIC, on="endpoint",
        scene=scenes.endpoint, hidden=UNSEEN,
        rest=("POST", "rollouts/{rollout}/abort", {})),
    row("P-8", "steer a rollout with ALL PRIVILEGES", OWNERS, grant=P.ALL_PRIVILEGES,
        on="endpoint", scene=scenes.endpoint, hidden=UNSEEN,
        rest=("POST", "rollouts/{rollout}/abort", {})),
    row("P-10", "register a version", OWNERS, grant=P.ALL_PRIVILEGES,
        rest=("POST", f"models/{MODEL}/versions", {"source": OPEN}),
        mlflow=("POST", "mlflow/model-versions/create", {**NAMED, "source": OPEN})),
    row("P-10", "register where delegated", GRANTED, grant=P.CREATE_MODEL_VERSION,
        is_delegated=True,
        rest=("POST", f"models/{MODEL}/versions", {"source": OPEN}),
        mlflow=("POST", "mlflow/model-versions/create", {**NAMED, "source": OPEN})),
    row("P-13", "set an alias", OWNERS, grant=P.ALL_PRIVILEGES,
        rest=("PUT", f"models/{MODEL}/aliases/Shadow", {"version": 1}),
        mlflow=("POST", "mlflow/registered-models/alias",
                {**VERSION, "alias": "Shadow"})),
    row("P-13", "delete an alias", OWNERS, grant=P.ALL_PRIVILEGES, has_alias=True,
        rest=("DELETE", f"models/{MODEL}/aliases/Shadow", None),
        mlflow=("DELETE", "mlflow/registered-models/alias",
                {**NAMED, "alias": "Shadow"})),
    row("P-14", "describe a model", OWNERS, grant=P.ALL_PRIVILEGES,
        rest=("PATCH", f"models/{MODEL}", {"comment": "new"}),
        mlflow=("PATCH", "mlflow/registered-models/update",
                {**NAMED, "description": "new"})),
    row("P-14", "rename a model", OWNERS, grant=P.ALL_PRIVILEGES,
        besides={"schema": P.CREATE_MODEL},
        mlflow=("POST", "mlflow/registered-models/rename",
                {**NAMED, "new_name": f"{SCHEMA}.other"})),
    row("P-14", "rename without CREATE MODEL", set(), grant=P.ALL_PRIVILEGES,
        mlflow=("POST", "mlflow/registered-models/rename",
                {**NAMED, "new_name": f"{SCHEMA}.other"})),
    row("P-15", "describe a version", OWNERS, grant=P.ALL_PRIVILEGES,
        rest=("PATCH", f"models/{MODEL}/versions/1", {"comment": "new"}),
        mlflow=("PATCH", "mlflow/model-versions/update",
                {**VERSION, "description": "new"})),
    row("P-16", "tag a model", GRANTED, grant=P.APPLY_TAG,
        rest=("PUT", f"models/{MODEL}/tags/k", {"value": "v"}),
        mlflow=("POST", "mlflow/registered-models/set-tag",
                {**NAMED, "key": "k", "value": "v"})),
    row("P-16", "tag a version", GRANTED, grant=P.APPLY_TAG,
        rest=("PUT", f"models/{MODEL}/versions/1/tags/k", {"value": "v"}),
        mlflow=("POST", "mlflow/model-versions/set-tag",
                {**VERSION, "key": "k", "value": "v"})),
    row("P-17", "delete a version", POWER, grant=P.ALL_PRIVILEGES,
        mlflow=("DELETE", "mlflow/model-versions/delete", VERSION)),
    row("P-17", "delete a model", POWER, grant=P.ALL_PRIVILEGES,
        mlflow=("DELETE", "mlflow/registered-models/delete", NAMED)),
    row("P-19", "see own grants", EVERYBODY - {"stranger"},
        rest=("GET", f"permissions/model/{MODEL}", None)),
    row("P-20", "grant", POWER, grant=P.ALL_PRIVILEGES,
        rest=("PATCH", f"permissions/model/{MODEL}", GRANT)),
    row("P-21", "grant USE SCHEMA", POWER - {"schema_owner"}, on="schema",
        grant=P.ALL_PRIVILEGES,
        rest=("PATCH", f"permissions/schema/{SCHEMA}", GRANT_USE)),
    row("P-22", "transfer ownership", POWER, grant=P.ALL_PRIVILEGES,
        rest=("PUT", f"ownership/model/{MODEL}", {"owner": "admin"})),
    row("P-23", "explain about others", POWER,
        rest=("POST", "permissions/explain", ABOUT_ADMIN)),
    row("P-24", "copy to a model of one's own", GRANTED,
        mlflow=("POST", "mlflow/model-versions/create",
                {"name": "dev.open.mine", "source": f"models:/{MODEL}/1"})),
    row("P-25", "connect a policy", POWER, grant=P.ALL_PRIVILEGES,
        rest=("POST", "policies", POLICY)),
    row("P-26", "decide an approval", {"grantee"}, grant=P.APPROVE,
        scene=scenes.request, hidden=UNSEEN | {"browser"},
        rest=("POST", "approvals/{request}/decisions",
              {"decision": "approve", "digest": "{digest}"})),
    row("P-27", "see the lineage", LOOKS,
        rest=("GET", f"models/{MODEL}/versions/1/lineage", None)),
    row("P-28", "ask for access", EVERYBODY, rest=("POST", "access-requests", ASKED)),
    row("P-29", "start a run that could not register", set(), grant=P.RUN_TRAINING,
        on="pipeline", scene=scenes.pipeline_without_rights, hidden=UNSEEN,
        rest=("POST", "pipelines/prod.fraud.training/runs", {})),
    row("P-30", "create a webhook", POWER, grant=P.ALL_PRIVILEGES,
        rest=("POST", "webhooks", HOOK)),
    row("P-31", "read who loads", POWER,
        rest=("GET", f"models/{MODEL}/versions/1/consumers", None)),
    row("P-32", "start a run", GRANTED, grant=P.RUN_TRAINING, on="pipeline",
        scene=scenes.pipeline, hidden=UNSEEN,
        rest=("POST", "pipelines/prod.fraud.training/runs", {})),
    row("P-32", "start a run with RUN SCORING", OWNERS, grant=P.RUN_SCORING,
        on="pipeline", scene=scenes.pipeline, hidden=UNSEEN,
        rest=("POST", "pipelines/prod.fraud.training/runs", {})),
]  # fmt: skip


@pytest.fixture
def world(
    version: ModelVersion,
    admin: User,
    make_version: Callable[..., ModelVersion],
) -> ModelVersion:
    """prod.fraud.scorer/1, and dev.open where everybody may read."""
    registry.create_catalog("dev", principal=admin)
    registry.create_schema("dev.open", principal=admin)
    for name in ("source", "mine"):
        registry.create_model(f"dev.open.{name}", principal=admin)
    make_version(RegisteredModel.objects.get(full_name="dev.open.source"))
    return version


@contextmanager
def cast(role: str, asked: Row, admin: User) -> Iterator[User]:
    """Put somebody into a role, and take everything back."""
    with transaction.atomic():
        who = UserFactory(username=f"the-{role}")
        _let_into_dev(who, admin)
        if asked.is_delegated:
            Catalog.objects.update(delegated_versions=True)
        if asked.has_alias:
            version = ModelVersion.objects.select_related("model").get(
                model__full_name=MODEL
            )
            model = registry.get_model(MODEL)
            approvals.set_alias(model, "Shadow", version, principal=model.owner)
        _dress(role, asked, who)
        yield who
        transaction.set_rollback(True)


def _let_into_dev(who: User, admin: User) -> None:
    dev = Catalog.objects.get(name="dev")
    for privilege in (P.USE_CATALOG, P.USE_SCHEMA, P.EXECUTE):
        put_grant(dev, privilege.value, who)
    RegisteredModel.objects.filter(full_name="dev.open.mine").update(owner=who)


def _dress(role: str, asked: Row, who: User) -> None:
    things = _things()
    thing = things[asked.on]
    if role in {"owner", "member", "manager", "grantee", "expired"}:
        put_grant(things["catalog"], "use_catalog", who)
        put_grant(things["schema"], "use_schema", who)
        for level, privilege in asked.besides.items():
            put_grant(things[level], privilege.value, who)
    group = MembershipFactory(group=GroupFactory(), member=who).group
    owned = {
        "owner": (thing, who),
        "member": (thing, group),
        "schema_owner": (things["schema"], who),
        "catalog_owner": (things["catalog"], who),
    }
    if role in owned:
        what, holder = owned[role]
        type(what).objects.filter(pk=what.pk).update(owner=holder)
        # a request of somebody who owns the model no more would be closed
        ApprovalRequest.objects.update(requester=who)
    elif role == "manager":
        put_grant(thing, "manage", who)
    elif role in {"grantee", "expired"}:
        put_grant(thing, asked.grant.value, who, expired=role == "expired")
    elif role == "browser":
        put_grant(things["catalog"], "browse", who)


def _things() -> dict[str, Any]:
    return {
        "metastore": registry.get_metastore(),
        "catalog": registry.get_catalog("prod"),
        "schema": registry.get_schema(SCHEMA),
        "model": registry.get_model(MODEL),
        "endpoint": Endpoint.objects.filter(name="live").first(),
        "pipeline": Pipeline.objects.filter(name="training").first(),
    }


def roles_for(asked: Row) -> list[str]:
    """Return the roles that there are for the object: nothing stands above a catalog."""
    above = {
        "model": set(),
        "endpoint": set(),
        "pipeline": set(),
        "schema": {"schema_owner"},
        "catalog": {"schema_owner", "catalog_owner"},
        "metastore": {"schema_owner", "catalog_owner", "owner", "member", "manager"},
    }[asked.on]
    return [role for role in ROLES if role not in above]


def send(client: Client, who: User, call: tuple[str, str, Any], prefix: str) -> Any:
    method, path, message = call
    token = access.issue_token(who, "t", principal=who)
    headers = {"Authorization": f"Bearer {token}"}
    if method == "GET":
        answer = client.get(f"{prefix}{path}", message or {}, headers=headers)
        if answer.streaming:  # or a file of the store would stay open
            assert b"".join(answer.streaming_content)
        return answer
    body = json.dumps(message) if message is not None else ""
    return client.generic(
        method,
        f"{prefix}{path}",
        body,
        content_type="application/json",
        headers=headers,
    )


def log_length() -> int:
    return Event.objects.exclude(type="token.issued").exclude(outcome="denied").count()


@pytest.mark.parametrize("asked", ROWS, ids=str)
def test_row(
    asked: Row, world: ModelVersion, admin: User, client: Client, settings: LazySettings
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    words = asked.scene(world) if asked.scene else {}
    faces = [
        ("/api/v1/", _filled(asked.rest, words)),
        ("/api/2.0/", _filled(asked.mlflow, words)),
    ]
    wrong = []
    for role in roles_for(asked):
        for prefix, call in faces:
            if call is None:
                continue
            with cast(role, asked, admin) as who:
                before = log_length()
                answer = send(client, who, call, prefix)
                problem = _problem(role, asked, answer, log_length() - before)
            if problem:
                wrong.append((role, prefix, problem))
    assert wrong == [], wrong


def _filled(
    call: tuple[str, str, Any] | None, words: dict[str, str]
) -> tuple[str, str, Any] | None:
    """Write the names of a scene into the path and the body of a call."""
    if call is None or not words:
        return call
    method, path, message = call
    filled = {
        key: value.format(**words) if isinstance(value, str) else value
        for key, value in message.items()
    }
    return method, path.format(**words), filled


def _problem(role: str, asked: Row, answer: Any, events: int) -> str:
    """Say what is wrong with an answer to a role, or nothing."""
    body = b"" if answer.streaming else answer.content[:300]
    said = f"{answer.status_code}: {body!r}"
    if role in asked.allowed:
        return "" if answer.status_code < 300 else said
    if events:
        return f"refused, and {events} events"
    if role in asked.hidden and not asked.is_public:
        return "" if answer.status_code == 404 else said
    if answer.status_code != 403:
        return said
    reasons = answer.json().get("details", {}).get("reasons")
    return "" if reasons else f"no reasons: {said}"
