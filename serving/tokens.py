"""Endpoint tokens: short-lived JWTs that Envoy checks without asking us."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from django.conf import settings
from django.utils import timezone
from jwt.algorithms import OKPAlgorithm

from access.models import User

ISSUER = "greenlight"
AUDIENCE = "serving"
TOKEN_LIFE = dt.timedelta(minutes=15)
_KEY_FILE = "serving_ed25519.pem"
_KEY_ID = "serving-1"


@dataclass(frozen=True)
class ServingToken:
    """A token's text and the moment after which it is refused."""

    token: str
    expires_at: dt.datetime


def issue_serving_token(principal: User) -> ServingToken:
    """Issue a token that names the principal to every endpoint, for 15 minutes.

    What it may query is not in the token: the gateway holds the grants.
    """
    now = timezone.now().replace(microsecond=0)
    expires_at = now + TOKEN_LIFE
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(principal.pk),
        "name": principal.username,
        "jti": uuid.uuid4().hex,
        "iat": now,
        "exp": expires_at,
    }
    token = jwt.encode(claims, _key(), algorithm="EdDSA", headers={"kid": _KEY_ID})
    return ServingToken(token, expires_at)


def public_keys() -> dict[str, Any]:
    """Return the JSON Web Key Set that verifies the tokens."""
    key = json.loads(OKPAlgorithm.to_jwk(_key().public_key()))
    return {"keys": [{**key, "kid": _KEY_ID, "alg": "EdDSA", "use": "sig"}]}


def _key() -> Ed25519PrivateKey:
    """Return the signing key; the first process that needs it makes it."""
    path = settings.KEYS_DIR / _KEY_FILE
    if not path.exists():
        _make_key(path)
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path} holds no Ed25519 key.")
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600)
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    fresh.write_bytes(pem)
    try:
        os.link(fresh, path)  # exactly one of several first processes wins
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
