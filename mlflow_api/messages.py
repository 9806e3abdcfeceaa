"""Read a request once, strictly; answer in MLflow's shapes.

MLflow's own server reads the first of two equal query keys, Django the last,
and camelCase twins bind in one parser and not in the other. Each such difference
is a way round a check, so whatever could be read in two ways is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from access.authentication import authenticate
from access.models import User
from core.errors import (
    DomainError,
    FeatureDisabled,
    InvalidParameter,
    PermissionDenied,
    Unauthenticated,
)
from core.http import error_response, parse_json

Message = dict[str, Any]
Rpc = Callable[..., Message]
View = Callable[..., HttpResponseBase]

UI_PREFIX = "/mlflow/"
# what may stand several times in a query string
REPEATABLE = frozenset({"order_by", "stages", "experiment_ids", "run_ids", "tag_keys"})
_SNAKE = re.compile(r"[a-z][a-z0-9_]*")
# a NUL or half of a surrogate pair cannot be stored, nor compared alike everywhere
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")
_DIGITS = re.compile(r"[0-9]{1,10}")
_LARGEST = 2**31 - 1
# MLflow's client retries these for minutes; an outcome of ours is never one.
STATUS_OF_MLFLOW_ERROR = {500: 409, 429: 400}


def caller(request: HttpRequest) -> User:
    """Return who calls: by token; below /mlflow/ the console's session will do.

    Raises Unauthenticated without either, PermissionDenied when a session writes
    and the request did not come from a page of ours: any site can make a browser
    send the cookie along.
    """
    is_ui = request.path_info.startswith(UI_PREFIX)
    if request.headers.get("Authorization") or not is_ui:
        return authenticate(request)
    if not isinstance(request.user, User):
        raise Unauthenticated("Sign in to the console, then reload this page.")
    if request.method not in {"GET", "HEAD"} and not _is_same_origin(request):
        raise PermissionDenied(
            "A write with a session must come from a page of this server; programs "
            "send an access token."
        )
    return request.user


def _is_same_origin(request: HttpRequest) -> bool:
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site")
    if origin is None:
        return site == "same-origin"
    ours = {f"{request.scheme}://{request.get_host()}", *settings.CSRF_TRUSTED_ORIGINS}
    return origin in ours and site in {None, "same-origin"}


def read_message(
    request: HttpRequest, repeatable: frozenset[str] = REPEATABLE
) -> Message:
    """Return the parameters of a request. Raises InvalidParameter if ambiguous."""
    if request.method in {"GET", "HEAD"}:
        length = request.headers.get("Content-Length", "0")
        if length not in {"", "0"} or "Transfer-Encoding" in request.headers:
            raise InvalidParameter("A GET takes its parameters in the query string.")
        return _read_query(request, repeatable)
    if request.META.get("QUERY_STRING"):
        raise InvalidParameter("Send the parameters in the body, not in the query.")
    message = parse_json(request.body)
    _check(message, "")
    return message


def _read_query(request: HttpRequest, repeatable: frozenset[str]) -> Message:
    message: Message = {}
    for key, values in request.GET.lists():
        name = key.removesuffix("[]")
        if name in message or (len(values) > 1 and name not in repeatable):
            raise InvalidParameter(f"The parameter {key!r} is given twice.")
        message[name] = values if name in repeatable else values[0]
    _check(message, "")
    return message


def _check(value: Any, name: str) -> None:
    """Refuse, at any depth, names and texts that parsers read differently."""
    if isinstance(value, dict):
        for key, child in value.items():
            if not _SNAKE.fullmatch(key):
                raise InvalidParameter(
                    f"The parameter {key[:80]!r} is unknown; names are snake_case."
                )
            _check(child, key)
    if isinstance(value, list):
        for child in value:
            _check(child, name)
    if isinstance(value, str) and _NO_TEXT.search(value):
        raise InvalidParameter(
            f"Parameter '{name}' holds a NUL or half a character; take it out."
        )


def text(message: Message, name: str, default: str | None = None) -> str:
    """Return a string parameter. Raises InvalidParameter if missing or no string."""
    value = message.get(name, default)
    if value is None or value == "":
        if default is not None:
            return default
        raise InvalidParameter(f"Missing value for required parameter '{name}'.")
    if not isinstance(value, str):
        raise InvalidParameter(f"Parameter '{name}' must be a string.")
    return value


def integer(message: Message, name: str, default: int | None = None) -> int:
    """Return an integer parameter, which travels as a number or as digits."""
    value = message.get(name, default)
    if value is None:
        raise InvalidParameter(f"Missing value for required parameter '{name}'.")
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InvalidParameter(f"Parameter '{name}' must be a positive integer.")
    if isinstance(value, int):
        value = str(value) if 0 <= value <= _LARGEST else ""
    if not _DIGITS.fullmatch(value) or int(value) > _LARGEST:
        raise InvalidParameter(f"Parameter '{name}' must be a positive integer.")
    return int(value)


def texts(message: Message, name: str) -> list[str]:
    """Return a parameter that is a list of strings."""
    value = message.get(name, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise InvalidParameter(f"Parameter '{name}' must be a list of strings.")
    return value


def tags(message: Message) -> dict[str, str]:
    """Return `tags: [{key, value}]` as a dict. Raises InvalidParameter."""
    value = message.get("tags", [])
    if not isinstance(value, list):
        raise InvalidParameter("Parameter 'tags' must be a list of {key, value}.")
    found: dict[str, str] = {}
    for tag in value:
        if not isinstance(tag, dict):
            raise InvalidParameter("Parameter 'tags' must be a list of {key, value}.")
        key = text(tag, "key")
        if key in found:
            raise InvalidParameter(f"tags: the key {key[:80]!r} is given twice.")
        found[key] = text(tag, "value", "")
    return found


def answer(view: View) -> View:
    """Render what a view raises in MLflow's error format."""

    @csrf_exempt
    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        from mlflow.exceptions import MlflowException

        try:
            _refuse_workspace(request)
            return view(request, *args, **kwargs)
        except DomainError as error:
            return error_response(error)
        except MlflowException as error:
            if isinstance(error.__cause__, OperationalError):
                raise error.__cause__ from error
            status = error.get_http_status_code()
            body = {"error_code": error.error_code, "message": error.message}
            return JsonResponse(body, status=STATUS_OF_MLFLOW_ERROR.get(status, status))

    return wrapped


def _refuse_workspace(request: HttpRequest) -> None:
    if "X-MLFLOW-WORKSPACE" in request.headers:
        raise FeatureDisabled(
            "Workspaces are not used here: catalogs and schemas are. Unset "
            "MLFLOW_WORKSPACE and name models catalog.schema.model."
        )


def rpc(**by_method: Rpc) -> View:
    """Make a view of one function per HTTP method: principal, message → answer.

    What the path names is given by keyword, apart from the message.
    """

    @answer
    def view(request: HttpRequest, **named: str) -> HttpResponse:
        principal = caller(request)
        method = "GET" if request.method == "HEAD" else request.method or ""
        if method not in by_method:
            raise PermissionDenied(f"{request.method} {request.path} is not served.")
        message = read_message(request)
        return JsonResponse(by_method[method](principal, message, **named))

    return view


@csrf_exempt
def denied(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """Refuse every route that is not on the list; the list is in `urls`."""
    return error_response(
        PermissionDenied(
            f"{request.method} {request.path} is not served by Greenlight."
        )
    )
