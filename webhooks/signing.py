"""Signatures of Standard Webhooks and of MLflow, and the secrets behind them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings

from core.errors import InvalidParameter

_PREFIX = "whsec_"
_SECRET_BYTES = 32
_SHORTEST, _LONGEST = 24, 512


def new_secret() -> str:
    """Make a secret in the form that the libraries of Standard Webhooks read."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def check_secret(secret: str) -> None:
    """Refuse a secret of one's own that is too short. Raises InvalidParameter."""
    if not _SHORTEST <= len(secret.encode()) <= _LONGEST:
        raise InvalidParameter(
            f"secret: give {_SHORTEST} to {_LONGEST} bytes, or none to have one made."
        )


def key_of(secret: str) -> bytes:
    """Return the key of Standard Webhooks: what `whsec_` encodes, else the text."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


def sign(
    secrets_: list[str], message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Return the three headers of Standard Webhooks, with a signature per secret.

    `timestamp` is the time of this attempt in Unix seconds.
    """
    signatures = [
        _signature(key_of(secret), message_id, timestamp, body) for secret in secrets_
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def sign_for_mlflow(
    secret: str, message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Return MLflow's three headers, whose key is the secret's text as it is."""
    return {
        "X-MLflow-Delivery-Id": message_id,
        "X-MLflow-Timestamp": str(timestamp),
        "X-MLflow-Signature": _signature(secret.encode(), message_id, timestamp, body),
    }


def without_signatures(headers: dict[str, str]) -> dict[str, str]:
    """Return headers for a log: how many signatures there were, and not which."""
    return {
        name: f"v1,… ({value.count('v1,')})" if "signature" in name.lower() else value
        for name, value in headers.items()
    }


def _signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def encrypt(secret: str) -> str:
    """Encrypt a secret for the database, with the first key."""
    return _keys().encrypt(secret.encode()).decode()


def decrypt(encrypted: str) -> str:
    """Read a secret that any of the keys encrypted."""
    return _keys().decrypt(encrypted.encode()).decode()


def encrypt_again(encrypted: str) -> str:
    """Encrypt with the first key what any of the keys encrypted."""
    return _keys().rotate(encrypted.encode()).decode()


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])
