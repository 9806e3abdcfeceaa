"""Sign what a version is, so that others can check it without us.

DSSE envelopes around in-toto statements (https://github.com/in-toto/attestation, v1),
and the bundle of OpenSSF model signing 1.x
(https://github.com/sigstore/model-transparency), which is such an envelope in a
Sigstore bundle v0.3.
"""

from __future__ import annotations

from typing import Any

from core import dsse
from core.dsse import public_key
from core.errors import InvalidParameter
from registry.models import ModelVersion

__all__ = ["model_bundle", "opened", "public_key", "sign", "statement"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MODEL_SIGNATURE = "https://model_signing/signature/v1.0"


def statement(
    version: ModelVersion, predicate_type: str, predicate: dict[str, Any]
) -> dict[str, Any]:
    """Return an in-toto statement about the bytes of a version."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": version.full_name, "digest": {"sha256": version.digest}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


def model_bundle(version: ModelVersion) -> dict[str, Any]:
    """Return the OpenSSF model-signing bundle of a version."""
    predicate = {
        "serialization": {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
        },
        "resources": [
            {"name": file["path"], "algorithm": "sha256", "digest": file["sha256"]}
            for file in version.manifest
        ],
    }
    envelope = sign(statement(version, MODEL_SIGNATURE, predicate))
    key_id = envelope["signatures"][0]["keyid"]
    return {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key_id}, "tlogEntries": []},
        "dsseEnvelope": envelope,
    }


def sign(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the DSSE envelope of a statement, signed with our key."""
    return dsse.sign(payload, PAYLOAD_TYPE)


def opened(document: Any, key: bytes) -> dict[str, Any]:
    """Return the statement of an envelope or a bundle, if the key signed it.

    Raises InvalidParameter when it did not, or when this is neither.
    """
    is_bundle = isinstance(document, dict) and "dsseEnvelope" in document
    envelope = document["dsseEnvelope"] if is_bundle else document
    content = dsse.opened(envelope, PAYLOAD_TYPE, key)
    if content.get("_type") != STATEMENT_TYPE:
        raise InvalidParameter("What was signed is no in-toto statement.")
    return content
