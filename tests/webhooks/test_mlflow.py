"""Receivers of MLflow's webhooks take ours: body, headers and signature are MLflow's."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from mlflow.webhooks import constants
from mlflow.webhooks.delivery import _generate_hmac_signature
from mlflow.webhooks.types import (
    EVENT_TO_PAYLOAD_CLASS,
    get_example_payload_for_event,
)
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook as Verifier
from werkzeug import Request

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from core.errors import InvalidParameter
from events.models import Event
from events.types import EventType
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel, Schema
from webhooks import mlflow, services
from webhooks.models import Webhook

MakeWebhook = Callable[..., Webhook]
# what a user of MLflow has given to MLflow, and to the receiver
OWN_SECRET = "a secret that a receiver has had for years"


@pytest.fixture
def hook(make_webhook: MakeWebhook, httpserver: HTTPServer) -> Webhook:
    httpserver.expect_request("/hook").respond_with_data("")
    return make_webhook(event_types=["*"], body_format="mlflow", secret=OWN_SECRET)


@pytest.fixture
def real_model(schema: Schema, owner: User, use: Callable[..., None]) -> Any:
    """A model that MLflow's tables have, too."""
    use(owner, Privilege.CREATE_MODEL)
    return registry.create_model(
        "prod.fraud.real", description="Finds fraud", principal=owner
    )


@pytest.fixture
def version(
    real_model: RegisteredModel, make_version: Callable[..., ModelVersion]
) -> ModelVersion:
    return make_version(real_model)


def sent(webhook: Webhook, httpserver: HTTPServer) -> list[dict[str, Any]]:
    """Deliver all that waits, and return the bodies, each of which MLflow verified."""
    services.fan_out_waiting()
    services.send(services.claim(webhook.pk, 100))
    return [verified(request) for request, _ in httpserver.log]


def verified(request: Request, secret: str = OWN_SECRET) -> dict[str, Any]:
    """Verify a request as MLflow signs: with MLflow's own code and constants."""
    version, _, signature = request.headers[
        constants.WEBHOOK_SIGNATURE_HEADER
    ].partition(",")
    assert version == constants.WEBHOOK_SIGNATURE_VERSION
    expected = _generate_hmac_signature(
        secret,
        request.headers[constants.WEBHOOK_DELIVERY_ID_HEADER],
        request.headers[constants.WEBHOOK_TIMESTAMP_HEADER],
        request.data.decode(),
    )
    assert f"{version},{signature}" == expected
    body: dict[str, Any] = json.loads(request.data)
    assert json.dumps(body).encode() == request.data  # MLflow's white space, too
    assert list(body) == ["entity", "action", "timestamp", "data"]
    event = WebhookEvent(WebhookEntity(body["entity"]), WebhookAction(body["action"]))
    shape = EVENT_TO_PAYLOAD_CLASS[event.entity, event.action]
    assert body["data"].keys() == typing.get_type_hints(shape).keys()
    return body


def test_registration_is_told_as_mlflow_tells_it(
    hook: Webhook, version: ModelVersion, owner: User, httpserver: HTTPServer
) -> None:
    registry.set_version_tag(version, "gate", "passed", principal=owner)
    registry.delete_version_tag(version, "gate", principal=owner)
    registry.set_model_tag(version.model, "team", "fraud", principal=owner)
    approvals.set_alias(version.model, "Champion", version, principal=owner)
    approvals.delete_alias(version.model, "Champion", principal=owner)

    bodies = sent(hook, httpserver)

    name = {"name": "prod.fraud.real"}
    of_version = {**name, "version": "1"}
    told = {f"{body['entity']}.{body['action']}": body["data"] for body in bodies}
    assert told == {
        "registered_model.created": {**name, "tags": {}, "description": "Finds fraud"},
        "model_version.created": {
            **of_version,
            "source": version.source,
            "run_id": None,
            "tags": {},
            "description": None,
        },
        "model_version_tag.set": {**of_version, "key": "gate", "value": "passed"},
        "model_version_tag.deleted": {**of_version, "key": "gate"},
        "model_version_alias.created": {**of_version, "alias": "Champion"},
        "model_version_alias.deleted": {**name, "alias": "Champion"},
    }


def test_prompts_are_told_as_mlflow_tells_them(
    hook: Webhook, schema: Schema, owner: User, use: Any, httpserver: HTTPServer
) -> None:
    use(owner, Privilege.CREATE_MODEL)
    mark = {"mlflow.prompt.is_prompt": "true"}
    prompt = registry.create_model("prod.fraud.ask", tags=mark, principal=owner)
    text = {**mark, "mlflow.prompt.text": "Is {{x}} fraud?"}
    version = registry.create_version(
        prompt, "dummy-source", tags=text, principal=owner
    )
    registry.set_model_tag(prompt, "team", "fraud", principal=owner)
    approvals.set_alias(prompt, "best", version, principal=owner)

    bodies = sent(hook, httpserver)

    told = {f"{body['entity']}.{body['action']}": body["data"] for body in bodies}
    assert told["prompt.created"]["tags"] == {}
    assert told["prompt_version.created"]["template"] == "Is {{x}} fraud?"
    assert told["prompt_tag.set"]["value"] == "fraud"
    assert told["prompt_alias.created"]["version"] == "1"


def test_standard_headers_verify_too(
    make_webhook: MakeWebhook, version: ModelVersion, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    hook = make_webhook(event_types=["*"], body_format="mlflow")
    Webhook.objects.update(created_at=version.model.created_at)
    services.fan_out_waiting()
    services.send(services.claim(hook.pk))
    for request, _ in httpserver.log:
        Verifier(hook.secret_text).verify(request.data, dict(request.headers))
        verified(request, hook.secret_text)


def test_mlflows_header_is_signed_by_the_old_secret_until_it_ends(
    hook: Webhook, admin: User, make_event: Callable[..., Event], httpserver: HTTPServer
) -> None:
    new = services.rotate_secret(hook, principal=admin).secret_text
    make_event()
    sent(hook, httpserver)
    services.expire_secret(hook, principal=admin)
    make_event()
    services.fan_out_waiting()
    services.send(services.claim(hook.pk))
    verified(httpserver.log[0][0], OWN_SECRET)
    verified(httpserver.log[1][0], new)


def test_events_that_mlflow_has_not_are_not_sent(
    hook: Webhook, make_event: Callable[..., Event]
) -> None:
    for kind in (
        EventType.APPROVAL_REQUESTED,
        EventType.REGISTERED_MODEL_DELETED,
        EventType.TAG_SET,
        EventType.WEBHOOK_UPDATED,
    ):
        assert services.fan_out(make_event(kind, alias="x", key="k", value="v")) == []


def test_ping_is_the_example_that_mlflow_sends(
    make_webhook: MakeWebhook, admin: User, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    types = ["model_version_alias.*"]
    hook = make_webhook(event_types=types, body_format="mlflow", secret=OWN_SECRET)
    services.ping_webhook(hook, principal=admin)
    (body,) = sent(hook, httpserver)
    assert (body["entity"], body["action"]) == ("model_version_alias", "created")


def test_examples_and_names_are_mlflows() -> None:
    ours = {name: dict(example) for name, example in mlflow.EXAMPLES.items()}
    theirs = {
        f"{entity.value}.{action.value}": get_example_payload_for_event(
            WebhookEvent(entity, action)
        )
        for entity, action in EVENT_TO_PAYLOAD_CLASS
    }
    # it watches over what the gateway of MLflow spends, which is not served here
    del theirs["budget_policy.exceeded"]
    assert ours == theirs


def test_types_are_given_by_mlflows_names(make_webhook: MakeWebhook) -> None:
    with pytest.raises(InvalidParameter, match=r"model_version_alias\.created"):
        make_webhook(event_types=["alias.set"], body_format="mlflow")
