"""MLflow's tracking API, passed to MLflow's own handlers after our check.

A request is parsed once, authorized as parsed, and handed on in canonical form,
so no difference between two parsers can be a way round the check.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse

from access.models import User
from core.errors import InvalidParameter, PermissionDenied
from mlflow_api import subjects
from mlflow_api.messages import (
    REPEATABLE,
    STATUS_OF_MLFLOW_ERROR,
    Message,
    View,
    answer,
    caller,
    read_message,
)
from mlflow_api.shapes import check_types
from mlflow_api.subjects import Subject
from registry.experiment_scope import reading_as
from registry.experiments import Level
from registry.store import tracking_store

SEE, READ, EDIT, MANAGE = Level
Rule = tuple[Subject, Level]

_VERSIONS_TAG = "mlflow.modelVersions"
_ONE_EXPERIMENT, _ONE_RUN = subjects.experiment, subjects.run
_LOGGED_MODEL = subjects.logged_model

# Path below /api/2.0/mlflow/ -> method -> what it is about, and the level it needs.
# A path with <model_id> takes it as a parameter of the message.
ROUTES: dict[str, dict[str, Rule]] = {
    "experiments/get": {"GET": (_ONE_EXPERIMENT, SEE)},
    "experiments/get-by-name": {"GET": (subjects.experiment_name, SEE)},
    "experiments/search": {
        "GET": (subjects.anything, SEE),
        "POST": (subjects.anything, SEE),
    },
    "experiments/set-experiment-tag": {"POST": (_ONE_EXPERIMENT, EDIT)},
    "experiments/delete-experiment-tag": {"POST": (_ONE_EXPERIMENT, EDIT)},
    "experiments/search-datasets": {"POST": (subjects.experiments, READ)},
    "runs/create": {"POST": (_ONE_EXPERIMENT, EDIT)},
    "runs/get": {"GET": (_ONE_RUN, READ)},
    "runs/search": {"POST": (subjects.experiments, READ)},
    "runs/update": {"POST": (_ONE_RUN, EDIT)},
    "runs/delete": {"POST": (_ONE_RUN, MANAGE)},
    "runs/restore": {"POST": (_ONE_RUN, MANAGE)},
    "runs/set-tag": {"POST": (_ONE_RUN, EDIT)},
    "runs/delete-tag": {"POST": (_ONE_RUN, EDIT)},
    "runs/log-metric": {"POST": (_ONE_RUN, EDIT)},
    "runs/log-parameter": {"POST": (_ONE_RUN, EDIT)},
    "runs/log-batch": {"POST": (_ONE_RUN, EDIT)},
    "runs/log-inputs": {"POST": (_ONE_RUN, EDIT)},
    "runs/log-model": {"POST": (_ONE_RUN, EDIT)},
    "runs/outputs": {"POST": (_ONE_RUN, EDIT)},
    "metrics/get-history": {"GET": (_ONE_RUN, READ)},
    "metrics/get-history-bulk": {"GET": (subjects.runs, READ)},
    "metrics/get-history-bulk-interval": {"GET": (subjects.runs, READ)},
    "logged-models": {"POST": (subjects.new_logged_model, EDIT)},
    "logged-models/search": {"POST": (subjects.experiments, READ)},
    "logged-models/<model_id>": {
        "GET": (_LOGGED_MODEL, READ),
        "PATCH": (_LOGGED_MODEL, EDIT),
        "DELETE": (_LOGGED_MODEL, MANAGE),
    },
    "logged-models/<model_id>/tags": {"PATCH": (_LOGGED_MODEL, EDIT)},
    "logged-models/<model_id>/tags/<tag_key>": {"DELETE": (_LOGGED_MODEL, EDIT)},
    "logged-models/<model_id>/params": {"POST": (_LOGGED_MODEL, EDIT)},
}
# What MLflow's handlers stumble over was read and authorized before: it is a value
# of the wrong kind. Flask logs where; the client must not try again for minutes.
_UNREADABLE = {
    "error_code": "INVALID_PARAMETER_VALUE",
    "message": "A parameter has a value that MLflow cannot read; check its type.",
}
# of this one route alone a run may stand several times in the query
_REPEATABLE = {"metrics/get-history-bulk": REPEATABLE | {"run_id"}}


def route(path: str) -> View:
    """Return the view of one tracking route."""
    repeatable = _REPEATABLE.get(path, REPEATABLE)

    @answer
    def view(request: HttpRequest, **parameters: str) -> HttpResponse:
        principal = caller(request)
        method = "GET" if request.method == "HEAD" else request.method or ""
        if method not in ROUTES[path]:
            raise PermissionDenied(f"{request.method} {request.path} is not served.")
        message = read_message(request, repeatable)
        for name, value in parameters.items():
            if message.get(name, value) != value:
                raise InvalidParameter(f"{name} differs between the path and the body.")
        check_types(path, method, message)
        if path.endswith("<model_id>/tags"):
            message, is_note = _without_note(message)
            if is_note:
                return JsonResponse({})
        checked = check(path, method, {**message, **parameters}, principal=principal)
        if checked.get("experiment_ids") == []:
            return JsonResponse({})  # a search in nothing that the caller may read
        sent = {name: checked[name] for name in message}
        return _pass_on(path, method, sent, parameters, principal)

    return view


def check(path: str, method: str, message: Message, *, principal: User) -> Message:
    """Apply a route's rule to a message; return the message to hand on."""
    subject, level = ROUTES[path][method]
    return subject(principal, message, level)


def server_info(request: HttpRequest) -> HttpResponse:
    """Tell the client what it asks before it moves files; no secret in it."""
    return JsonResponse(
        {
            "store_type": "SqlStore",
            "workspaces_enabled": False,
            "multipart_uploads_enabled": False,
            "multipart_downloads_enabled": False,
        }
    )


def _without_note(message: Message) -> tuple[Message, bool]:
    """Drop the client's note of a registered version; tell if it was all there is.

    It follows a successful registration and must not fail for lack of rights on
    the experiment; and it would tell every reader there the model's name.
    """
    given = message.get("tags", [])
    kept = [tag for tag in given if tag.get("key") != _VERSIONS_TAG]
    return {**message, "tags": kept}, bool(given) and not kept


def _pass_on(
    path: str, method: str, message: Message, parameters: dict[str, str], user: User
) -> HttpResponse:
    url = path
    for name, value in parameters.items():
        url = url.replace(f"<{name}>", quote(value, safe=""))
    if path == "runs/create":
        message = {**message, "user_id": user.username}
    with reading_as(user):
        if method == "GET":
            status, body = _call(url, method, message)
        else:
            status, body = _write(url, method, message)
    return HttpResponse(body, status=status, content_type="application/json")


def _write(path: str, method: str, message: Message) -> tuple[int, bytes]:
    """Call a handler that writes: all of it, or nothing."""
    with transaction.atomic():
        status, body = _call(path, method, message)
        if status >= 400:
            transaction.set_rollback(True)
    return status, body


def _call(path: str, method: str, message: Message) -> tuple[int, bytes]:
    """Call MLflow's handler in this process with a canonical request."""
    url = f"/ajax-api/2.0/mlflow/{path}"
    options: dict[str, Any] = {"json": message}
    if method == "GET":
        options = {"query_string": urlencode(message, doseq=True)}
    response = flask_app().test_client().open(url, method=method, **options)
    status = response.status_code
    if status == 500 and not response.is_json:
        return 400, json.dumps(_UNREADABLE).encode()
    return STATUS_OF_MLFLOW_ERROR.get(status, status), response.get_data()


@cache
def flask_app() -> Any:
    """Return MLflow's Flask application, bound to the borrowed stores."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "true")
    from mlflow.server import app, handlers

    handlers._tracking_store = tracking_store()
    return app
