"""Sign statements with the key of the installation, and open them without us.

DSSE envelopes (https://github.com/secure-systems-lab/dsse, v1.0.2), by ECDSA over
P-256 with SHA-256. Receipts, model signatures and checkpoints of the audit log are such.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from django.conf import settings

from core.errors import InvalidParameter

_KEY_FILE = "receipts_p256.pem"
_ECDSA = ec.ECDSA(SHA256())


def sign(payload: dict[str, Any], payload_type: str) -> dict[str, Any]:
    """Return the DSSE envelope of a payload, signed with our key."""
    body = json.dumps(payload, sort_keys=True).encode()
    signature = _key().sign(_encoded(payload_type, body), _ECDSA)
    return {
        "payload": base64.b64encode(body).decode(),
        "payloadType": payload_type,
        "signatures": [
            {
                "sig": base64.b64encode(signature).decode(),
                "keyid": _key_id(_key().public_key()),
            }
        ],
    }


def public_key() -> str:
    """Return the PEM of the key that verifies what we sign."""
    return _pem(_key().public_key()).decode()


def opened(envelope: Any, payload_type: str, key: bytes) -> dict[str, Any]:
    """Return the payload of an envelope of this type, if the key signed it.

    Raises InvalidParameter when it did not, or when this is no such envelope.
    """
    try:
        body = base64.b64decode(envelope["payload"], validate=True)
        kind = envelope["payloadType"]
        signatures = [
            base64.b64decode(each["sig"], validate=True)
            for each in envelope["signatures"]
        ]
    except (AttributeError, KeyError, TypeError, binascii.Error) as error:
        raise InvalidParameter("This is no DSSE envelope and no bundle.") from error
    if not any(_is_ours(_load_public(key), kind, body, each) for each in signatures):
        raise InvalidParameter("The signature is not one of this key over this text.")
    if kind != payload_type:
        raise InvalidParameter(f"What was signed is {kind}, not {payload_type}.")
    content: dict[str, Any] = json.loads(body)
    return content


def _is_ours(
    key: ec.EllipticCurvePublicKey, kind: str, body: bytes, signature: bytes
) -> bool:
    try:
        key.verify(signature, _encoded(kind, body), _ECDSA)
    except InvalidSignature:
        return False
    return True


def _encoded(kind: str, body: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)


def _load_public(pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise InvalidParameter("The key is no public key in PEM.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size != 256:
        raise InvalidParameter("The key is no P-256 key.")
    return key


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: ec.EllipticCurvePublicKey) -> str:
    """Return the hint by which model signing finds a key."""
    return hashlib.sha256(_pem(key)).hexdigest()


def _key() -> ec.EllipticCurvePrivateKey:
    """Return the signing key: of the settings, or made at the first use and kept."""
    path = settings.KEYS_DIR / _KEY_FILE
    if not settings.RECEIPT_KEY and not path.exists():
        _make_key(path)
    pem = settings.RECEIPT_KEY.encode() or path.read_bytes()
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.key_size != 256:
        raise TypeError("GREENLIGHT_RECEIPT_KEY is no P-256 key in PEM.")
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600)
    key = ec.generate_private_key(ec.SECP256R1())
    fresh.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    try:
        os.link(fresh, path)  # exactly one of several first processes wins
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
