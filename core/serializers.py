"""How every app reads the input of its REST views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.parsers import BaseParser

from core.errors import InvalidParameter, TooLarge
from core.http import parse_json

_SMALL_BYTES = 256 * 1024


class StrictJSONParser(BaseParser):
    """Reads a JSON object of bounded size and depth, no key of it twice."""

    media_type = "application/json"

    @property
    def limit(self) -> int:
        return settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        body = stream.read(self.limit + 1)
        if len(body) > self.limit:
            raise TooLarge(f"The body is larger than {self.limit} bytes.")
        return parse_json(body)


class SmallJSONParser(StrictJSONParser):
    """For callers that nobody knows yet: they send little."""

    @property
    def limit(self) -> int:
        return _SMALL_BYTES


class InputSerializer(serializers.Serializer[Any]):
    """Fields of a request, validated for shape; services validate the meaning."""

    @classmethod
    def read(cls, data: Any) -> dict[str, Any]:
        """Return the validated fields; what is wrong is refused by name.

        A field that there is not is refused too: misspelt, it would be ignored, and
        the answer would be to another question.
        """
        serializer = cls(data=data)
        if isinstance(data, Mapping):
            _require_known(data, serializer.fields.keys())
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


def _require_known(data: Mapping[str, Any], known: Any) -> None:
    for name in data:
        if name not in known:
            fields = ", ".join(known) or "none"
            raise InvalidParameter(f"{name!r} is unknown here; there are {fields}.")
        if isinstance(data, QueryDict) and len(data.getlist(name)) > 1:
            raise InvalidParameter(f"{name!r} is given twice; give it once.")
