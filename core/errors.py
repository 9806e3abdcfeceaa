"""The errors that a caller can cause, with the codes of MLflow's wire format.

Raise the most specific one; `core.http` renders it for every face. The message
says what is wrong and what to do, and holds no secret.
"""

from __future__ import annotations

from typing import Any, Self


class DomainError(Exception):
    """A refusal that the caller understands: a code, a status, a message."""

    error_code = "BAD_REQUEST"
    status_code = 400

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        # what the audit log learns of a refusal, and the caller does not
        self.for_audit: dict[str, Any] = {}

    def telling(self, **facts: Any) -> Self:
        """Add what only auditors learn: `subject`, `operation`, `named`, `principal`."""
        self.for_audit.update(facts)
        return self


class InvalidParameter(DomainError):
    """A value that cannot be used; name the field and the fix."""

    error_code = "INVALID_PARAMETER_VALUE"


class FeatureDisabled(DomainError):
    """A part of MLflow that is not used here; say what is used instead."""

    error_code = "FEATURE_DISABLED"


class AlreadyExists(DomainError):
    """The name is taken. MLflow's client expects this very code, at 400."""

    error_code = "RESOURCE_ALREADY_EXISTS"


class Unauthenticated(DomainError):
    """No valid credential."""

    error_code = "UNAUTHENTICATED"
    status_code = 401


class BadCredential(Unauthenticated):
    """A credential was sent, and it is not good: auditors hear of it."""


class PermissionDenied(DomainError):
    """The caller sees the object but may not do this; `reasons` say why."""

    error_code = "PERMISSION_DENIED"
    status_code = 403


class NotFound(DomainError):
    """No such object, or none that the caller may know of."""

    error_code = "RESOURCE_DOES_NOT_EXIST"
    status_code = 404


class Conflict(DomainError):
    """The object changed, or is in a state that forbids this."""

    error_code = "RESOURCE_CONFLICT"
    status_code = 409


class Gone(DomainError):
    """It was there once, and its time is over."""

    error_code = "GONE"
    status_code = 410


class TooLarge(DomainError):
    """The body or the file exceeds a limit."""

    error_code = "REQUEST_LIMIT_EXCEEDED"
    status_code = 413


class TooManyAttempts(DomainError):
    """Tried too often; for people alone, MLflow's client would try on for minutes."""

    error_code = "REQUEST_LIMIT_EXCEEDED"
    status_code = 429


class Unsupported(DomainError):
    """A known request that this server does not serve."""

    error_code = "NOT_IMPLEMENTED"
    status_code = 501


def unseen(kind: str, full_name: str) -> NotFound:
    """Return the answer about what is not there, or not for the caller's eyes.

    Auditors hear of it when there is such an object.
    """
    error = NotFound(f"No {kind} {full_name} that you may see.")
    error.telling(named=(kind, full_name))
    return error
