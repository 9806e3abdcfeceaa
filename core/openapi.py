"""How every app tells the shapes of its REST, from which the OpenAPI document is made.

An answer is a TypedDict: mypy holds the function that makes it to its shape, and
the document shows the same one.
"""

from __future__ import annotations

import datetime as dt
import inspect
import re
import types
import uuid
from collections.abc import Callable
from functools import cache
from typing import (
    Any,
    NotRequired,
    TypedDict,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers

from core.serializers import InputSerializer

_View = TypeVar("_View", bound=Callable[..., Any])
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")
_FIELDS: dict[Any, type[serializers.Field[Any, Any, Any, Any]]] = {
    str: serializers.CharField,
    int: serializers.IntegerField,
    float: serializers.FloatField,
    bool: serializers.BooleanField,
    dt.datetime: serializers.DateTimeField,
    uuid.UUID: serializers.UUIDField,
}

FILE = OpenApiTypes.BINARY  # an answer that is a file


class ErrorJson(TypedDict):
    """What every refusal says; `details` differ from one to the other."""

    error_code: str
    message: str
    details: NotRequired[dict[str, Any]]


def operation(
    summary: str,
    *,
    query: type[InputSerializer] | None = None,
    body: type[InputSerializer] | dict[str, Any] | None = None,
    answer: Any = None,
    status: int = 200,
    replay: int | None = None,
) -> Callable[[_View], _View]:
    """Describe one method of a view, for the OpenAPI document.

    `query` and `body` read the input. `answer` is a TypedDict, a serializer, `FILE`,
    or None for an empty answer. `replay` is the status of the same request again,
    where it differs. A body that is a form is given as {media type: schema}.
    """
    decorate: Callable[[_View], _View] = extend_schema(
        summary=summary,
        parameters=[query] if query else [],
        request={"application/json": body} if isinstance(body, type) else body,
        responses={
            **_success(answer, status),
            **(_success(answer, replay) if replay else {}),
            "default": OpenApiResponse(shape(ErrorJson), "why it was refused"),
        },
    )
    return decorate


def _success(answer: Any, status: int) -> dict[Any, Any]:
    if answer is None:
        return {status: OpenApiResponse(description="done")}
    if answer is FILE:
        return {(status, "application/octet-stream"): FILE}
    made = shape(answer) if is_typeddict(answer) else answer
    return {status: OpenApiResponse(made, (made.__doc__ or "").strip())}


class Schema(AutoSchema):
    """Names operations after views: `PolicyList.post` is `policy_list_post`."""

    def get_operation_id(self) -> str:
        name = _WORD.sub("_", type(self.view).__name__).lower()
        return f"{name}_{self.method.lower()}"

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular's
        """Return what the method says of itself; its summary is given beside it."""
        method = getattr(self.view, self.method.lower())
        return inspect.getdoc(method) or ""

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        """Tell `PolicySerializer`, an input, from the answer `PolicyJson`."""
        name: str = super().get_serializer_name(serializer, direction)
        name = name.removesuffix("Serializer")
        if isinstance(serializer, InputSerializer):
            return f"{name.removesuffix('Input')}Input"
        return name


class BearerToken(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself
    """How the document calls our access tokens."""

    target_class = "access.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "gl_…"}


@cache
def shape(answer: Any) -> type[serializers.Serializer[Any]]:
    """Return a serializer that has the fields of a TypedDict."""
    hints = get_type_hints(answer, include_extras=True)
    fields = {name: field(hint) for name, hint in hints.items()}
    name = answer.__name__.removesuffix("Json")
    members = {**fields, "__doc__": answer.__doc__, "__module__": answer.__module__}
    return type(name, (serializers.Serializer,), members)


def field(hint: Any, **options: Any) -> Any:
    """Return the serializer field of a type hint."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is NotRequired:
        return field(arguments[0], required=False)
    if origin in (Union, types.UnionType):
        inner = [one for one in arguments if one is not type(None)]
        return (
            field(inner[0], allow_null=True, **options)
            if len(inner) == 1
            else _any(options)
        )
    if serializer := _serializer(hint):
        return serializer(**options)
    if origin is list:
        if serializer := _serializer(arguments[0]):
            return serializer(many=True, **options)
        return serializers.ListField(child=field(arguments[0]), **options)
    if origin is dict:
        return serializers.DictField(child=field(arguments[1]), **options)
    return _FIELDS[hint](**options) if hint in _FIELDS else _any(options)


def _serializer(hint: Any) -> Any:
    if is_typeddict(hint):
        return shape(hint)
    is_class = isinstance(hint, type) and get_origin(hint) is None
    return hint if is_class and issubclass(hint, serializers.BaseSerializer) else None


def _any(options: dict[str, Any]) -> serializers.JSONField:
    return serializers.JSONField(**options)
