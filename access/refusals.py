"""Tell the audit log of every request that was refused.

Written when the answer is out: the time it takes must not tell a caller whether
what it may not see is there. What a process that dies in between had to tell is lost.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from access.models import User
from access.securables import find_securable
from core import callers
from core.errors import BadCredential, DomainError, TooManyAttempts
from core.http import Handler
from events.refusals import Refusal, record_refusal
from events.services import Subject
from events.subjects import INSTALLATION
from events.types import EventType

logger = logging.getLogger(__name__)

_REFUSED = {401, 403, 404, 429}
# what a route's parameters may be told by; others may hold secrets
_NAMES = {
    *("alias", "catalog", "full_name", "kind", "model", "name", "number"),
    *("request_id", "run_id", "schema", "securable_type"),
}
_LONGEST = 300


class RefusalMiddleware:
    """Write down what was refused, when the server closes the sent response."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code in _REFUSED:
            # where Django itself puts what is to be done once the body is out
            response._resource_closers.append(  # type: ignore[attr-defined]  # not in the stubs
                partial(_write, request, response.status_code)
            )
        return response


def _write(request: HttpRequest, status: int) -> None:
    with callers.serving(request):
        try:
            refusal = _refusal(request, status)
            if refusal is not None:
                record_refusal(refusal)
        except DatabaseError:  # read-only or away: the refusal itself stands
            logger.warning("a refusal was not written to the audit log")


def _refusal(request: HttpRequest, status: int) -> Refusal | None:
    error = callers.refusal_of(request)
    if isinstance(error, BadCredential) or (
        isinstance(error, TooManyAttempts) and "name" in error.for_audit
    ):
        return _of_credential(request, error)
    if status == 404:
        return _of_hidden(request, error)
    return _of_access(request, error) if status == 403 else None


def _of_credential(request: HttpRequest, error: DomainError) -> Refusal:
    """Tell of a token that is no good, or of a wrong password."""
    facts = error.for_audit
    data = {"reason": error.message, "address": callers.address_of(request)}
    if "name" in facts:
        claimed = User.objects.filter(username=facts["name"]).first()
        # a password typed into the wrong field must not end up in the log
        data["name"] = claimed.username if claimed else "unknown"
        subject: Subject = claimed or INSTALLATION
        return Refusal(EventType.SIGN_IN_FAILED, subject, None, data)
    data["token"] = facts.get("credential", "unknown")
    subject = facts.get("principal") or INSTALLATION
    return Refusal(EventType.TOKEN_REFUSED, subject, None, data)


def _of_hidden(request: HttpRequest, error: DomainError | None) -> Refusal | None:
    """Tell of what is there and was said not to be."""
    if error is None or callers.principal_of(request) is None:
        return None
    subject = error.for_audit.get("subject")
    if subject is None:
        subject = _found(error.for_audit)
    if subject is None:
        return None
    error.telling(subject=subject)
    return _of_access(request, error, was_hidden=True)


def _found(facts: dict[str, Any]) -> Subject | None:
    """Look for what was said not to be there."""
    if "find" in facts:
        found: Subject | None = facts["find"]()
        return found
    try:
        return find_securable(*facts["named"]) if "named" in facts else None
    except DomainError:
        return None


def _of_access(
    request: HttpRequest, error: DomainError | None, *, was_hidden: bool = False
) -> Refusal:
    facts = error.for_audit if error else {}
    principal = callers.principal_of(request)
    data: dict[str, Any] = {
        "operation": facts.get("operation", ""),
        "request": f"{request.method} {_route(request)}",
        "names": _names(request),
        "reason": error.message[:_LONGEST] if error else "HTTP 403",
        "hidden": was_hidden,
    }
    subject = facts.get("subject") or principal or INSTALLATION
    return Refusal(EventType.ACCESS_DENIED, subject, principal, data)


def _route(request: HttpRequest) -> str:
    match = request.resolver_match
    return match.route if match else ""


def _names(request: HttpRequest) -> dict[str, str]:
    match = request.resolver_match
    given = match.kwargs if match else {}
    return {k: str(v)[:_LONGEST] for k, v in given.items() if k in _NAMES}
