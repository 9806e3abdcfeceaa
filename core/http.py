"""Request ids, error bodies and page tokens, the same for every face."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core import signing
from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import resolve
from rest_framework import exceptions
from rest_framework.response import Response

from core import callers
from core.errors import DomainError, InvalidParameter, TooLarge

logger = logging.getLogger(__name__)

_CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_MAX_JSON_DEPTH = 32
_RPC_PATHS = ("/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/")
_FILE_PATHS = ("/api/2.0/mlflow-artifacts/", "/ajax-api/2.0/mlflow-artifacts/")

Handler = Callable[[HttpRequest], HttpResponse]


class RequestMiddleware:
    """Give each request an id, and answer a DomainError that a plain view raised."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _CLIENT_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        with callers.serving(request, request_id):
            response = _refuse_null(request) or self.get_response(request)
        response["X-Request-Id"] = request_id
        return response

    def process_exception(
        self, request: HttpRequest, error: Exception
    ) -> HttpResponse | None:
        return _answer_to(request, error)


def _refuse_null(request: HttpRequest) -> HttpResponse | None:
    """Refuse what no name may hold, and what PostgreSQL would stumble over."""
    if "\0" not in request.path_info and "%00" not in request.META["QUERY_STRING"]:
        return None
    return error_response(InvalidParameter("A URL must not hold a null character."))


class ProgramMiddleware:
    """Serve the RPCs of programs without the middleware that follows.

    That is for browsers: sessions, CSRF, pages, static files. An RPC knows its
    caller by a token alone, and answers JSON; it is our hottest path.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path.startswith(_RPC_PATHS):
            match = _route(path, settings.ROOT_URLCONF)
        elif path.startswith(_FILE_PATHS):  # as many paths as there are files
            match = resolve(path, settings.ROOT_URLCONF)
        else:
            return self.get_response(request)
        request.resolver_match = match
        try:
            response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        except (DomainError, OperationalError, RequestDataTooBig) as error:
            answer = _answer_to(request, error)
            if answer is None:
                raise
            return answer
        return response


_route = lru_cache(maxsize=256)(resolve)  # a tenth of our part of an RPC


def _answer_to(request: HttpRequest, error: Exception) -> HttpResponse | None:
    if isinstance(error, RequestDataTooBig):
        error = TooLarge("The request body is too large.")
    if isinstance(error, OperationalError):
        return _database_unavailable()
    if isinstance(error, DomainError) and not _wants_html(request):
        return error_response(error)
    return None


def _wants_html(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _database_unavailable() -> HttpResponse:
    logger.exception("database unavailable")
    body = {
        "error_code": "TEMPORARILY_UNAVAILABLE",
        "message": "The database cannot be reached or is busy; try again.",
    }
    return JsonResponse(body, status=503, headers={"Retry-After": "2"})


def error_body(error: DomainError) -> dict[str, Any]:
    """Render an error as MLflow's clients expect it, with our details beside."""
    body: dict[str, Any] = {"error_code": error.error_code, "message": error.message}
    if error.details:
        body["details"] = error.details
    return body


def error_response(error: DomainError) -> JsonResponse:
    callers.note_refusal(error)
    return JsonResponse(
        error_body(error), status=error.status_code, headers=_headers(error)
    )


def _headers(error: DomainError) -> dict[str, str]:
    """Say in the header, too, when to come back; clients know how to read it there."""
    seconds = error.details.get("retry_after_seconds")
    return {} if seconds is None else {"Retry-After": str(seconds)}


_DRF_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    413: "REQUEST_LIMIT_EXCEEDED",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "REQUEST_LIMIT_EXCEEDED",
}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Render domain errors and DRF's own in one shape (DRF's EXCEPTION_HANDLER)."""
    if isinstance(error, DomainError):
        callers.note_refusal(error)
        return Response(
            error_body(error), status=error.status_code, headers=_headers(error)
        )
    if isinstance(error, exceptions.APIException):
        code = _DRF_CODES.get(error.status_code, "BAD_REQUEST")
        body = {"error_code": code, "message": _sentence(error.detail)}
        return Response(body, status=error.status_code)
    return None


def _sentence(detail: Any, field: str = "") -> str:
    """Flatten DRF's nested error details into one sentence that names the fields."""
    if isinstance(detail, dict):
        return " ".join(
            _sentence(value, f"{field}.{key}".strip("."))
            for key, value in detail.items()
        )
    if isinstance(detail, list):
        return " ".join(_sentence(value, field) for value in detail)
    return f"{field}: {detail}" if field else str(detail)


def parse_json(body: bytes) -> dict[str, Any]:
    """Read a JSON object strictly: no duplicate keys, no NaN, bounded depth.

    Raises InvalidParameter with what is wrong.
    """
    try:
        value = json.loads(
            body or b"{}", object_pairs_hook=_unique_keys, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(f"The body is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidParameter("The body must be a JSON object.")
    _check_depth(value, _MAX_JSON_DEPTH)
    if b"\\ud" in body.lower():
        _check_surrogates(value)
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidParameter(f"The key {twice!r} appears twice; give it once.")
    return dict(pairs)


def _no_constant(name: str) -> float:
    raise InvalidParameter(f"{name} is not valid JSON.")


def _check_depth(value: Any, left: int) -> None:
    if left == 0:
        raise InvalidParameter(f"The body is nested deeper than {_MAX_JSON_DEPTH}.")
    children = value.values() if isinstance(value, dict) else value
    if isinstance(value, (dict, list)):
        for child in children:
            _check_depth(child, left - 1)


def _check_surrogates(value: Any) -> None:
    """Refuse half of a pair, as in "\\ud800": it is no text, and no database takes it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidParameter(
            "The body holds a lone surrogate; send whole characters."
        ) from error


def sign_page_token(key: Any, *, purpose: str) -> str:
    """Make an opaque page token that continues a listing after `key`."""
    return signing.dumps(key, salt=f"page:{purpose}", compress=True)


def read_page_token(token: str, *, purpose: str) -> Any:
    """Return the key inside a page token. Raises InvalidParameter if forged."""
    try:
        return signing.loads(token, salt=f"page:{purpose}")
    except signing.BadSignature as error:
        raise InvalidParameter(
            "page_token is not one of ours; start again without it."
        ) from error
