"""Hold real answers against the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
from django.urls import resolve

from greenlight.openapi import made

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


def template_of(route: str) -> str:
    """Return a Django route as the document spells it."""
    return "/" + _PARAMETER.sub(r"{\1}", route)


def assert_documented(method: str, url: str, answered: Any) -> None:
    """Fail unless the document has the operation and its answer fits."""
    path = template_of(resolve(url.partition("?")[0]).route)
    operation = made()["paths"][path][method.lower()]
    told = operation["responses"]
    expected = told.get(str(answered.status_code), told["default"])
    if answered.status_code < 400:
        assert str(answered.status_code) in told, f"{method} {path}"
    content = expected.get("content", {})
    if not content:
        assert answered.content == b"", f"{method} {path}"
    if schema := content.get("application/json", {}).get("schema"):
        whole = {**schema, "components": made()["components"]}
        jsonschema.validate(answered.json(), whole, jsonschema.Draft202012Validator)
