"""How states and events are said and shown; the only place that knows."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from dataclasses import dataclass

from django.urls import reverse
from django.utils import timezone

from events.models import Event
from events.types import EventType


@dataclass(frozen=True)
class Look:
    """Tone, icon and words of a state; never the tone alone."""

    tone: str
    icon: str
    words: str


_WAITS, _MOVES, _GOOD, _BAD, _OVER = "warn", "info", "ok", "bad", "plain"

# (tone, icon) of a state; its words are the state itself unless said otherwise.
_STATES = {
    "pending": (_WAITS, "clock"),
    "waiting": (_WAITS, "clock"),
    "ready": (_GOOD, "check"),
    "failed": (_BAD, "x"),
    "deleted": (_OVER, "dash"),
    # approval requests, their decisions and checks
    "approved": (_GOOD, "check"),
    "applied": (_GOOD, "check"),
    "rejected": (_BAD, "x"),
    "cancelled": (_OVER, "dash"),
    "expired": (_OVER, "clock"),
    "superseded": (_OVER, "dash"),
    "invalidated": (_BAD, "alert"),
    "stale": (_OVER, "clock"),
    # requests for access
    "granted": (_GOOD, "check"),
    "declined": (_BAD, "x"),
    "withdrawn": (_OVER, "dash"),
    "passed": (_GOOD, "check"),
    # runs
    "queued": (_OVER, "clock"),
    "preparing": (_MOVES, "progress"),
    "running": (_MOVES, "progress"),
    "finalizing": (_MOVES, "progress"),
    "succeeded": (_GOOD, "check"),
    # runs of MLflow, besides
    "finished": (_GOOD, "check"),
    "killed": (_OVER, "stop"),
    # rollouts and model servers
    "shadow": (_MOVES, "progress"),
    "step": (_MOVES, "progress"),
    "analysis": (_MOVES, "progress"),
    "promoting": (_MOVES, "progress"),
    "baking": (_MOVES, "progress"),
    "paused": (_WAITS, "pause"),
    "rolling_back": (_WAITS, "undo"),
    "rolled_back": (_OVER, "undo"),
    "starting": (_MOVES, "progress"),
    "healthy": (_GOOD, "check"),
    "draining": (_OVER, "clock"),
    "stopped": (_OVER, "stop"),
    "crash_loop": (_BAD, "alert"),
    # webhooks, their circuits and deliveries
    "active": (_GOOD, "check"),
    "disabled": (_OVER, "stop"),
    "delivered": (_GOOD, "check"),
    "closed": (_GOOD, "check"),
    "open": (_BAD, "pause"),
    "half_open": (_WAITS, "clock"),
}


_WORDS = {
    "step": "Shifting",
    "open": "Circuit open",
    "half_open": "Circuit half open",
    "closed": "Closed",
}


def look_of_state(state: str) -> Look:
    """Return the look of a state of any machine."""
    tone, icon = _STATES.get(state, (_OVER, "dot"))
    return Look(tone, icon, _WORDS.get(state, state.replace("_", " ").capitalize()))


# What the actor did, before the subject's name; `{…}` comes from the event's data.
_DEEDS = {
    "principal.created": "created the account",
    "token.issued": "issued the token",
    "token.revoked": "revoked the token",
    "grant.added": "granted {privilege} to {to} on",
    "grant.revoked": "revoked {privilege} of {of} on",
    "grant.expired": "let expire {privilege} of {of} on",
    "access.requested": "asked for {privileges} on",
    "access.granted": "gave {requester} the access asked for to",
    "access.declined": "declined to give {requester} access to",
    "access.withdrawn": "withdrew the wish for access to",
    "principal.activated": "switched on the account",
    "principal.deactivated": "switched off the account",
    "principal.updated": "changed the mail settings of",
    "principal.locked_out": "locked the sign-in, after too many wrong passwords, of",
    "group.member_added": "added {member} to",
    "group.member_removed": "removed {member} from",
    "owner.transferred": "made {after} the owner of",
    "catalog.created": "created the catalog",
    "catalog.updated": "changed the catalog",
    "catalog.deleted": "deleted the catalog",
    "schema.updated": "changed the schema",
    "schema.deleted": "deleted the schema",
    "schema.created": "created the schema",
    "registered_model.created": "created the model",
    "registered_model.adopted": "took over the model",
    "registered_model.updated": "changed the description of",
    "registered_model.renamed": "renamed from {before} the model",
    "registered_model.deleted": "deleted the model",
    "experiment.created": "created the experiment",
    "experiment.renamed": "renamed from {before} the experiment",
    "experiment.deleted": "deleted the experiment",
    "experiment.restored": "restored the experiment",
    "experiment.adopted": "made {owner} the owner of the experiment",
    "model_version.adopted": "took over version",
    "model_version.created": "registered version",
    "model_version.ready": "finished version",
    "model_version.failed": "failed to register version",
    "model_version.updated": "changed the description of version",
    "model_version.deleted": "deleted version",
    "model_version.read": "read the bytes of version",
    "model_version.tampered": "found changed bytes in version",
    "tag.set": "set tag {key} of",
    "tag.deleted": "deleted tag {key} of",
    "alias.set": "pointed {alias} to version {version} of",
    "alias.break_glass": "broke the glass: {alias} to version {version} of",
    "alias.deleted": "deleted alias {alias} of",
    "policy.created": "created the policy",
    "policy.retired": "retired the policy",
    "approval.requested": "asked for approval of",
    "approval.decided": "decided on",
    "approval.checked": "reported a check of",
    "approval.approved": "completed the approval of",
    "approval.applied": "applied",
    "approval.rejected": "rejected",
    "approval.cancelled": "withdrew",
    "approval.expired": "let expire",
    "approval.failed": "failed to apply",
    "approval.superseded": "superseded",
    "approval.invalidated": "invalidated",
    "approval.reset": "reset the decisions of",
    "approval.policy_changed": "found a changed policy of",
    "approval.decision_revoked": "took back a decision on",
    "approval.commented": "commented on",
    "delegation.created": "delegated approvals until {ends_at}:",
    "delegation.revoked": "ended the delegation",
    "webhook.created": "created the webhook",
    "webhook.updated": "changed the webhook",
    "webhook.disabled": "disabled the webhook",
    "webhook.enabled": "enabled the webhook",
    "webhook.deleted": "deleted the webhook",
    "webhook.pinged": "sent a test to the webhook",
    "webhook.redelivered": "sent {count} again to the webhook",
    "webhook.secret_rotated": "gave a new secret to the webhook",
    "webhook.secret_expired": "ended the old secret of the webhook",
    "package.uploaded": "uploaded the package",
    "package.trained": "trained the package",
    "dataset.created": "created the dataset",
    "snapshot.created": "took a snapshot of",
    "pipeline.created": "created the pipeline",
    "pipeline_run.queued": "queued the run",
    "pipeline_run.started": "started the run",
    "pipeline_run.succeeded": "finished the run",
    "pipeline_run.failed": "failed the run",
    "pipeline_run.cancelled": "cancelled the run",
    "pipeline_run.retried": "tried again the run",
    "endpoint.created": "created the endpoint",
    "model_server.failed": "lost a model server of",
    "rollout.started": "began to move to v{version} the traffic of",
    "rollout.stepped": "gave v{version} {weight} of the traffic of",
    "rollout.paused": "paused the rollout of v{version} on",
    "rollout.resumed": "resumed the rollout of v{version} on",
    "rollout.promoted": "gave v{version} all traffic of",
    "rollout.aborted": "aborted the rollout of v{version} on",
    "rollout.completed": "completed the rollout of v{version} on",
    "rollout.rolled_back": "took v{version} out of",
    "access.denied": "was refused {asked} on",
    "sign_in.failed": "saw a sign-in fail, from {address}, of",
    "token.refused": "refused a token, from {address}, of",
    "audit.exported": "took a copy of the log of",
    "audit.sealed": "sealed {count} reads of bytes into the log of",
    "audit.archived": "archived {count} entries of the log,",
}

_ICON_OF_NOUN = {
    "principal": "user",
    "token": "key",
    "grant": "key",
    "access": "key",
    "catalog": "catalog",
    "schema": "schema",
    "registered_model": "model",
    "model_version": "version",
    "tag": "tag",
    "alias": "tag",
    "policy": "approval",
    "approval": "approval",
    "delegation": "approval",
    "pipeline": "run",
    "pipeline_run": "run",
    "package": "file",
    "dataset": "file",
    "snapshot": "file",
    "experiment": "activity",
    "endpoint": "endpoint",
    "webhook": "webhook",
    "model_server": "server",
    "rollout": "endpoint",
    "sign_in": "key",
    "audit": "activity",
}

_BAD_VERBS = {
    "failed",
    "tampered",
    "rejected",
    "invalidated",
    "disabled",
    "aborted",
    "rolled_back",
    "break_glass",
    "declined",
    "denied",
    "refused",
}
_GOOD_VERBS = {"ready", "approved", "applied", "succeeded", "completed"}


def has_words(event_type: str) -> bool:
    """Tell whether events of a type are said in words, not by their type."""
    return event_type in _DEEDS


def look_of_event(event: Event) -> Look:
    """Return the look of an event: the deed, without actor and subject."""
    noun, _, verb = event.type.partition(".")
    tone = _BAD if verb in _BAD_VERBS else _GOOD if verb in _GOOD_VERBS else _OVER
    deed = _DEEDS.get(event.type, event.type.replace(".", " ").replace("_", " "))
    return Look(tone, _ICON_OF_NOUN.get(noun, "dot"), deed.format_map(_values(event)))


def _values(event: Event) -> dict[str, str]:
    """Return the event's data as words; what is missing is a question mark."""
    values = defaultdict(lambda: "?", {k: str(v) for k, v in event.data.items()})
    if request := event.data.get("request"):  # of a refusal: what, else only how
        what = event.data.get("operation") or str(request).partition(" ")[0]
        values["asked"] = what.replace("_", " ")
    if isinstance(weight := event.data.get("weight"), int):
        values["weight"] = percent_of(weight)
    return values


def words_of_type(event_type: str) -> str:
    """Return the name of an event type for a list of choices."""
    return event_type.replace(".", ": ").replace("_", " ")


EVENT_TYPES = sorted((t.value, words_of_type(t.value)) for t in EventType)


# Kind of row -> its page, and what of the row stands in the page's address.
_PAGES = {
    "catalog": "catalog",
    "schema": "schema",
    "registeredmodel": "model",
    "modelversion": "version",
    "endpoint": "endpoint",
    "pipeline": "pipeline",
    "dataset": "dataset",
    "experiment": "experiment",
    "approvalrequest": "request",
    "policy": "policy",
    "run": "run",
    "webhook": "webhook",
}


def url_of(kind: str, full_name: str, pk: uuid.UUID) -> str:
    """Return the page of a row, or nothing when its kind has none."""
    if kind == "accessrequest":
        return reverse("console:access_requests")
    if kind == "snapshot":
        kind, full_name = "dataset", full_name.partition("/")[0]
    if kind not in _PAGES:
        return ""
    parts: list[object] = [pk]
    if kind in {"endpoint", "pipeline", "dataset"}:
        parts = [full_name]
    if kind in {"catalog", "schema", "registeredmodel", "modelversion"}:
        parts = [*full_name.replace("/", ".").split(".")]
    return reverse(f"console:{_PAGES[kind]}", args=parts)


_UNITS = (
    ("year", 365 * 86400),
    ("month", 30 * 86400),
    ("day", 86400),
    ("hour", 3600),
    ("minute", 60),
)


def relative(moment: dt.datetime) -> str:
    """Say how far away a moment is, in the largest unit that fits."""
    seconds = (timezone.now() - moment).total_seconds()
    for unit, length in _UNITS:
        count = int(abs(seconds) // length)
        if count:
            text = f"{count} {unit}{'s' if count > 1 else ''}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return "just now" if seconds > -10 else "in seconds"


def duration_of(seconds: float) -> str:
    """Say a length of time, in the two largest units that fit."""
    left, said = round(seconds), []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            said.append(f"{count} {unit}")
    return " ".join(said[:2]) or "0 s"


def percent_of(basis_points: int) -> str:
    """Say basis points as percent, without needless digits."""
    return f"{basis_points / 100:g}%"


def size_of(count: int) -> str:
    """Say a number of bytes."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return (
                f"{size:.0f} {unit}"
                if unit == "B" or size >= 100
                else f"{size:.1f} {unit}"
            )
        size /= 1000
    return f"{size:.1f} TB"
