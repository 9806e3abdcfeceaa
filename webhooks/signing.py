"""Signatures after Standard Webhooks, and the secrets they are made with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from uuid import UUID

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """Make a secret in the form that the libraries of Standard Webhooks read."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign(secret: str, message_id: UUID, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers: id, time of this attempt in Unix seconds, signature."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": str(message_id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def encrypt(secret: str) -> str:
    """Encrypt a secret for the database, with the first key."""
    return _keys().encrypt(secret.encode()).decode()


def decrypt(encrypted: str) -> str:
    """Read a secret that any of the keys encrypted."""
    return _keys().decrypt(encrypted.encode()).decode()


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])
