"""The OpenAPI document of the REST API, made once by each process."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator


@require_safe
def document(request: HttpRequest) -> HttpResponse:
    """Answer the document as JSON, or as YAML for `?format=yaml`; to anybody."""
    if request.GET.get("format") == "yaml":
        text = yaml.safe_dump(made(), sort_keys=False, allow_unicode=True)
        return HttpResponse(text, content_type="application/yaml; charset=utf-8")
    return JsonResponse(made(), json_dumps_params={"ensure_ascii": False})


@cache
def made() -> dict[str, Any]:
    """Return the document: paths, operations, and the shapes of what they take."""
    generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]  # it has no types
    found: dict[str, Any] = generator.get_schema(request=None, public=True)
    _forget_limits_of_database(found)
    return found


# What an integer column holds, which differs from one database to another.
_LIMITS = {2**15 - 1, 2**31 - 1, 2**63 - 1, -(2**15), -(2**31), -(2**63)}


def _forget_limits_of_database(node: Any) -> None:
    """Leave out bounds that are no rule of ours, so that the document is one."""
    if isinstance(node, dict):
        for bound in ("minimum", "maximum"):
            if node.get(bound) in _LIMITS:
                del node[bound]
    children = node.values() if isinstance(node, dict) else node
    for child in children:
        if isinstance(child, dict | list):
            _forget_limits_of_database(child)
