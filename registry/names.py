"""Names: three levels that a URL, a shell and a file system read alike."""

from __future__ import annotations

import re

from core.errors import InvalidParameter

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_MAX_FULL_NAME = 256
_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
_RESERVED_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE | re.ASCII)


# as long as MLflow's columns
MAX_DESCRIPTION = 5000
_MAX_TAG_KEY = 250
_SHOWN = 80


def check_name(name: str, what: str) -> str:
    """Return the name, or raise InvalidParameter that says what it may hold."""
    if not _PART.fullmatch(name):
        raise InvalidParameter(
            f"{what} {_shown(name)} is not valid: use letters, digits, '_' and '-' "
            "(ASCII, up to 100, not starting with '-')."
        )
    return name


def check_alias(name: str) -> str:
    """Return the alias name, or raise InvalidParameter that says what it may be."""
    if not _ALIAS.fullmatch(name) or _RESERVED_ALIAS.fullmatch(name):
        raise InvalidParameter(
            f"alias {_shown(name)} is not valid: use up to 255 letters, digits, '_' "
            "and '-'; 'latest' and 'v1', 'v2', … are reserved."
        )
    return name


def check_length(text: str, what: str, longest: int) -> str:
    """Return the text, or raise InvalidParameter that says how long it may be."""
    if len(text) > longest:
        raise InvalidParameter(
            f"{what} has {len(text)} characters; at most {longest} are kept."
        )
    return text


def check_model_tag(key: str, value: str) -> None:
    """Refuse a tag of a model that MLflow's columns cannot hold."""
    check_length(key, "key", _MAX_TAG_KEY)
    check_length(value, f"the value of the tag {_shown(key)}", MAX_DESCRIPTION)


def split_full_name(full_name: str, what: str = "name") -> tuple[str, str, str]:
    """Return (catalog, schema, name) of `catalog.schema.name`.

    Raises InvalidParameter unless there are exactly three levels.
    """
    check_length(full_name, what, _MAX_FULL_NAME)
    parts = full_name.split(".")
    if len(parts) != 3:
        raise InvalidParameter(
            f"{what} {_shown(full_name)} has {len(parts)} level(s); "
            "specify all three levels: catalog.schema.name."
        )
    catalog, schema, name = (check_name(part, what) for part in parts)
    return catalog, schema, name


def _shown(text: str) -> str:
    """Quote what was sent, with what cannot be seen escaped, and not all of it."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}…"
