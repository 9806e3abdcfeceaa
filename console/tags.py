"""Tags as forms send them."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import QueryDict

from access.authz import is_allowed
from access.models import User
from access.privileges import Privilege
from core.errors import InvalidParameter
from registry.models import RegisteredModel


@dataclass(frozen=True)
class Tag:
    key: str
    value: str


def read_tag(sent: QueryDict) -> Tag:
    """Read a tag from a form. Raises InvalidParameter without a key."""
    key = sent.get("key", "").strip()
    if not key:
        raise InvalidParameter("key: say how the tag is called.")
    return Tag(key, sent.get("value", "").strip())


def may_tag(person: User, model: RegisteredModel) -> bool:
    """Tell whether the person sets tags of a model and its versions (rule P-16)."""
    return is_allowed(person, Privilege.APPLY_TAG, model)
