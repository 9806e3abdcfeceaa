"""The format of access tokens: `gl_` + 43 base62 digits + 6 of checksum.

The prefix and the checksum let secret scanners find one without asking us.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib

TOKEN_PREFIX = "gl_"
_ALPHABET = string.digits + string.ascii_letters
_SECRET, _CHECKSUM = 43, 6


def new_token() -> str:
    """Return a fresh token with 256 bits of randomness."""
    secret = _base62(int.from_bytes(secrets.token_bytes(32), "big"), _SECRET)
    return f"{TOKEN_PREFIX}{secret}{_checksum(secret)}"


def is_well_formed(token: str) -> bool:
    """Tell whether a text can be a token, without asking the database."""
    body = token.removeprefix(TOKEN_PREFIX)
    if body == token or len(body) != _SECRET + _CHECKSUM or not body.isascii():
        return False
    return _checksum(body[:_SECRET]) == body[_SECRET:]


def digest_of(token: str) -> str:
    """Return the sha-256 under which a token is stored, as hex.

    A slow hash would protect a guessable secret; this one has 256 bits.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(secret: str) -> str:
    return _base62(zlib.crc32(secret.encode()), _CHECKSUM)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))
