"""One-time callbacks: how the receiver of a webhook answers without a credential.

The token is an HMAC over request and webhook, derived anew for every delivery
and kept only as its sha-256. Its possession is not a person: it may report a
check or reject; it may approve only where a policy says so.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from access.models import User
from approvals.gate import interest_in, unmet
from approvals.lifecycle import lock, require_current, settle
from approvals.models import ApprovalRequest, Callback, Verdict, Via
from approvals.policies import policies_of
from approvals.services.application import require_digest, require_intact
from approvals.services.checks import Report, record_check
from approvals.services.decisions import record_decision
from approvals.shapes import CallbackAnswerJson
from core.errors import Gone, InvalidParameter, NotFound, PermissionDenied
from events.models import Event

_PREFIX = "glcb_"


class State(models.TextChoices):
    """What a callback may say."""

    APPROVED = "approved"
    REJECTED = "rejected"
    CHECK = "check"


@dataclass(frozen=True)
class Answer:
    """What the holder of a callback posted; `passed` only with the state check."""

    state: str
    name: str = ""
    passed: bool | None = None
    comment: str = ""
    details_url: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    digest: str = ""


def for_webhook(event: Event, webhook_id: UUID, subscriber: User) -> dict[str, Any]:
    """Return the `callback` that goes with one delivery of `approval.requested`.

    Nothing for a request that is closed, whose event is delivered late, and
    nothing for the webhook of somebody who made, owns or asked for the version.
    """
    approval = ApprovalRequest.objects.get(pk=event.data["request_id"])
    if not approval.is_open or approval.expires_at <= timezone.now():
        return {}
    if interest_in(approval, subscriber.person):
        return {}
    token = _token(approval, webhook_id)
    Callback.objects.get_or_create(
        request=approval,
        webhook_id=webhook_id,
        defaults={"token_hash": _hash(token), "expires_at": approval.expires_at},
    )
    url = f"{settings.PUBLIC_URL}/api/v1/callbacks/{token}"
    return {"callback": {"url": url, "expires_at": approval.expires_at.isoformat()}}


def answer(token: str, given: Answer) -> CallbackAnswerJson:
    """Use a token, once; a replay returns the answer of the first use.

    Raises NotFound for an unknown token and Gone when the request is closed. A
    wrong digest (Conflict) and what a policy forbids leave the token unused.
    """
    callback = _find(token)
    if callback.used_at:
        return _first_answer(callback)
    _check(given)
    approval = settle(callback.request)
    if not approval.is_open:
        return _answer_of_closed(callback, approval)
    if given.digest:
        require_digest(approval, given.digest)
    if given.state == State.APPROVED:
        _require_trusted(approval)
    if given.state != State.REJECTED:
        require_intact(approval)
    return _use(callback, given)


@transaction.atomic
def _use(callback: Callback, given: Answer) -> CallbackAnswerJson:
    approval = lock(callback.request)
    unused = Callback.objects.filter(pk=callback.pk, used_at=None)
    if not unused.update(used_at=timezone.now()):
        return _first_answer(callback)
    if not approval.is_open:
        raise _gone(approval)
    require_current(approval)
    _record(approval, given)
    answered: CallbackAnswerJson = {
        "request_id": str(approval.id),
        "state": given.state,
        "status": str(approval.status),
        "unmet": unmet(approval),
    }
    Callback.objects.filter(pk=callback.pk).update(answer=answered)
    return answered


def _answer_of_closed(
    callback: Callback, approval: ApprovalRequest
) -> CallbackAnswerJson:
    """Answer as the first use was, if it was this callback that closed the request."""
    callback.refresh_from_db(fields=["used_at"])
    if callback.used_at:
        return _first_answer(callback)
    raise _gone(approval)


def _record(approval: ApprovalRequest, given: Answer) -> None:
    if given.state == State.CHECK:
        report = Report(
            given.name,
            given.passed is True,
            given.comment,
            given.details_url,
            given.evidence,
        )
        record_check(approval, report, via=Via.CALLBACK, principal=None)
        return
    verdict = Verdict.APPROVE if given.state == State.APPROVED else Verdict.REJECT
    record_decision(
        approval, verdict, comment=given.comment, via=Via.CALLBACK, principal=None
    )


def _find(token: str) -> Callback:
    rows = Callback.objects.select_related("request__model", "request__version")
    found = rows.filter(token_hash=_hash(token)).first()
    if found is None:
        raise NotFound("Unknown callback.")
    return found


def _first_answer(callback: Callback) -> CallbackAnswerJson:
    callback.refresh_from_db(fields=["answer"])
    stored: CallbackAnswerJson = callback.answer
    return stored


def _check(given: Answer) -> None:
    if given.state not in State.values:
        raise InvalidParameter("state must be approved, rejected or check.")
    if given.state == State.CHECK and (not given.name or given.passed is None):
        raise InvalidParameter("A check needs its name, and passed: true or false.")


def _gone(approval: ApprovalRequest) -> Gone:
    return Gone(
        f"This approval request is {approval.status}; the callback is void.",
        status=approval.status,
    )


def _require_trusted(approval: ApprovalRequest) -> None:
    if not any(policy.callback_may_approve for policy in policies_of(approval)):
        raise PermissionDenied(
            "A callback may report a check or reject; no policy of this request "
            "lets it approve.",
            reasons=[{"missing": "callback_may_approve"}],
            request_url=approval.url,
            unmet=unmet(approval),
        )


def _token(approval: ApprovalRequest, webhook_id: UUID) -> str:
    code = salted_hmac(
        "approvals.callback", f"{approval.id}:{webhook_id}", algorithm="sha256"
    )
    return _PREFIX + base64.urlsafe_b64encode(code.digest()).decode().rstrip("=")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
