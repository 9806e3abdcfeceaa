"""What a refusal says besides its words: what is missing, where, and whom to ask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from access.privileges import Privilege

_BY_LABEL = {privilege.label: privilege for privilege in Privilege}


def reason(
    missing: str, securable_type: str, full_name: str, who_can_grant: Iterable[str]
) -> dict[str, Any]:
    """Render one thing that is missing, with the page on which to ask for it.

    What is missing is a privilege's label, or a role.
    """
    return {
        "missing": missing,
        "securable_type": securable_type,
        "full_name": full_name,
        "who_can_grant": list(who_can_grant),
        "request_url": _request_url(missing, securable_type, full_name),
    }


def _request_url(missing: str, securable_type: str, full_name: str) -> str:
    """Return the address of the console's form; ownership is no privilege to tick."""
    asked = {"kind": securable_type, "full_name": full_name}
    privilege = _BY_LABEL.get(missing)
    if privilege not in (None, Privilege.OWN):
        asked["add"] = privilege.value
    return f"{settings.PUBLIC_URL}/access-requests/ask/?{urlencode(asked)}"
