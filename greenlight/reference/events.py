"""The page of events, from their types and from the calls that emit them."""

from __future__ import annotations

import ast
import datetime as dt
import json
from pathlib import Path
from typing import Any

from django.conf import settings

from events.models import Event
from events.types import EventType
from greenlight.reference.markdown import code, table
from webhooks import mlflow
from webhooks.models import Delivery, Format, Webhook
from webhooks.payload import preview_of

E = EventType

_MODEL = "prod.fraud.scorer"
_APPS = ("events", "access", "registry", "approvals", "webhooks", "runners", "serving")
_EMITTERS = {"draft", "emit", "tell"}
_NO_DATA = {"principal", "event_id"}
# where noun and verb do not say it
_SENTENCES = {
    E.TOKEN_ISSUED: "An access token was issued; its text is nowhere kept.",
    E.GRANT_ADDED: "A privilege was granted.",
    E.GRANT_REVOKED: "A privilege was taken back.",
    E.GROUP_MEMBER_ADDED: "A principal became a member of a group.",
    E.GROUP_MEMBER_REMOVED: "A principal is no member of a group any more.",
    E.OWNER_TRANSFERRED: "A securable got another owner.",
    E.MODEL_VERSION_CREATED: "A version was begun; its bytes are taken next.",
    E.MODEL_VERSION_READY: "The bytes of a version are taken, and named by a digest.",
    E.MODEL_VERSION_FAILED: "The bytes of a version could not be taken.",
    E.MODEL_VERSION_READ: "A principal read the bytes of a version for the first time on a day.",
    E.MODEL_VERSION_TAMPERED: "The stored bytes of a version are not those that were taken.",
    E.ALIAS_SET: "An alias points at a version now.",
    E.APPROVAL_REQUESTED: "Somebody asked for an alias to move.",
    E.APPROVAL_DECIDED: "An approver approved or rejected a request.",
    E.APPROVAL_CHECKED: "An automated check reported its result.",
    E.APPROVAL_APPROVED: "Nothing is missing for a request any more.",
    E.APPROVAL_APPLIED: "The alias moved as a request had asked.",
    E.APPROVAL_SUPERSEDED: "A newer request took the place of one.",
    E.APPROVAL_INVALIDATED: "The bytes that a request was about are not what they were.",
    E.APPROVAL_FAILED: "An approved request could not be applied.",
    E.APPROVAL_RESET: "The alias moved meanwhile: the decisions of a request were cleared.",
    E.PACKAGE_TRAINED: "A training run left a new minor version of its package.",
    E.PIPELINE_RUN_RETRIED: "A run was lost, through no fault of its code, and is queued again.",
    E.MODEL_SERVER_FAILED: "A process that serves a version gave up.",
    E.ROLLOUT_STEPPED: "A rollout set the weights of its next step.",
    E.ROLLOUT_PROMOTED: "Somebody moved a rollout on by hand.",
    E.ACCESS_DENIED: "A request was refused (`hidden`: as if there were no such object); `count` times in its minute.",
    E.SIGN_IN_FAILED: "A wrong password was sent, for an account or for an unknown name.",
    E.TOKEN_REFUSED: "An access token was sent that is unknown, revoked or expired.",
    E.AUDIT_EXPORTED: "Somebody took a copy of entries of the audit log.",
    E.AUDIT_SEALED: "The reads of bytes since the last seal, each a leaf, were folded into the chain.",
    E.AUDIT_ARCHIVED: "A range of the audit log was written to a file, verified, and then left the database.",
    E.ROLLOUT_COMPLETED: "All traffic of an endpoint goes to the version of a rollout.",
}

_INTRODUCTION = """\
# Events

Everything that happens is an event: one row in the audit log, which is chained by hashes, and one message for webhooks.
Each has an id, a sequence number, the time, the actor, the subject with its full name, the outcome and `data`; and where
it came from: the id of the request, the credential, the address and the program. [Fields](audit-log.md).
Subscribe with patterns: `approval.*`, `alias.set`, `*`; see [receive a webhook](../howto/receive-a-webhook.md).
The last column is what a webhook in [MLflow's format](../howto/keep-mlflow-receivers.md) calls it.
"""

_EXAMPLES = """\
## Examples

What webhooks get for some of them; ids are shortened. CloudEvents have the same `data`.

"""
# Of a model, a version and a webhook: type, kind and name of the subject, its own data.
_SAMPLES: list[tuple[EventType, str, str, dict[str, Any]]] = [
    (E.ALIAS_SET, "registeredmodel", _MODEL, {"alias": "Champion", "version": 2, "version_id": "5a1c…", "digest": "9f86d0…", "previous": 1, "generation": 4}),
    (E.MODEL_VERSION_READY, "modelversion", f"{_MODEL}/2", {"version": 2, "digest": "9f86d0…", "size_bytes": 48213}),
    (E.TAG_SET, "modelversion", f"{_MODEL}/2", {"key": "gate", "value": "passed"}),
    (E.GRANT_ADDED, "registeredmodel", _MODEL, {"privilege": "EXECUTE", "to": "fraud-team", "expires_at": None}),
    (E.WEBHOOK_DISABLED, "webhook", "ci.example.com/0b9f21aa", {"reason": "Nothing got through for 5 days."}),
    (E.WEBHOOK_PINGED, "webhook", "ci.example.com/0b9f21aa", {}),
]  # fmt: skip
_AT = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


def page() -> str:
    """Return the page in Markdown."""
    data = emitted_data()
    rows = [
        (
            code(event_type.value),
            sentence(event_type),
            ", ".join(map(code, data.get(event_type.name, []))),
            ", ".join(map(code, mlflow.names_of(event_type))),
        )
        for event_type in EventType
    ]
    catalogue = table(("type", "it says", "`data` has", "in MLflow's format"), rows)
    examples = "\n".join(_example(*sample) for sample in _SAMPLES)
    return f"{_INTRODUCTION}\n{catalogue}\n{_EXAMPLES}{examples}"


def _example(event_type: EventType, kind: str, name: str, data: dict[str, Any]) -> str:
    """Return the message of one event, as `webhooks.payload` makes it."""
    event = Event(
        type=event_type.value,
        sequence=4711,
        created_at=_AT,
        actor_name="owner",
        subject_type=kind,
        subject_name=name,
        data=data,
    )
    delivery = Delivery(webhook=Webhook(format=Format.STANDARD), event=event)
    shown = preview_of(delivery)
    shown["data"] |= {
        "event_id": "0b9f…",
        "subject": {**shown["data"]["subject"], "id": "5a1c…"},
        "actor": {"id": "77e0…", "name": "owner"},
    }
    return f"```json\n{json.dumps(shown, indent=2, ensure_ascii=False)}\n```\n"


def sentence(event_type: EventType) -> str:
    """Say what happened: a sentence of its own, or one made of noun and verb."""
    if event_type in _SENTENCES:
        return _SENTENCES[event_type]
    noun, verb = event_type.value.replace("_", " ").split(".")
    article = "An" if noun[0] in "aeiou" else "A"
    return f"{article} {noun} was {verb}."


def emitted_data() -> dict[str, list[str]]:
    """Return what the calls of emit() put into `data`, by the name of the type."""
    found: dict[str, set[str]] = {}
    for app in _APPS:
        for path in sorted((Path(settings.BASE_DIR) / app).rglob("*.py")):
            for call in _calls(ast.parse(path.read_text())):
                given = {keyword.arg for keyword in call.keywords if keyword.arg}
                name = ast.unparse(call.args[0]).rpartition(".")[2]
                found.setdefault(name, set()).update(given - _NO_DATA)
    return {name: sorted(given) for name, given in found.items()}


def _calls(tree: ast.Module) -> list[ast.Call]:
    """Return the calls that emit an event of a type that they name."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in _EMITTERS
        and node.args
        and ast.unparse(node.args[0]).startswith("EventType.")
    ]
