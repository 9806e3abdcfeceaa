"""Files as MLflow's pages ask for them: by run, by logged model, by version.

Each is found at its address below the artifact proxy, and goes through its checks.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from access.models import User
from core.errors import InvalidParameter, PermissionDenied
from mlflow_api import files, subjects
from mlflow_api.messages import (
    Message,
    View,
    answer,
    caller,
    integer,
    read_message,
    text,
)
from registry.experiments import Level
from registry.store import tracking_store

_SCHEME = "mlflow-artifacts:/"


def _viewer(serve: Callable[[User, Message], HttpResponseBase]) -> View:
    @answer
    def view(request: HttpRequest, **parameters: str) -> HttpResponseBase:
        principal = caller(request)
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied(f"{request.method} {request.path} is not served.")
        return serve(principal, {**read_message(request), **parameters})

    return view


def _run_file(principal: User, message: Message) -> HttpResponseBase:
    return _send(_root_of_run(principal, message), text(message, "path"), principal)


def _run_listing(principal: User, message: Message) -> HttpResponseBase:
    root = _root_of_run(principal, message)
    return _list(root, text(message, "path", ""), principal)


def _logged_model_file(principal: User, message: Message) -> HttpResponseBase:
    path = text(message, "artifact_file_path")
    return _send(_root_of_logged_model(principal, message), path, principal)


def _logged_model_listing(principal: User, message: Message) -> HttpResponseBase:
    path = text(message, "artifact_directory_path", "")
    return _list(_root_of_logged_model(principal, message), path, principal)


def _version_file(principal: User, message: Message) -> HttpResponseBase:
    name, number = text(message, "name"), integer(message, "version")
    path = f"{files.VIRTUAL}/{name}/{number}/{text(message, 'path')}"
    return files.download(path, principal)


def _root_of_run(principal: User, message: Message) -> str:
    subjects.run(principal, message, Level.READ)
    run_id = text(message, "run_id", text(message, "run_uuid", ""))
    uri: str = tracking_store().get_run(run_id).info.artifact_uri
    return uri


def _root_of_logged_model(principal: User, message: Message) -> str:
    subjects.logged_model(principal, message, Level.READ)
    found = tracking_store().get_logged_model(text(message, "model_id"))
    uri: str = found.artifact_location
    return uri


def _send(uri: str, path: str, principal: User) -> HttpResponseBase:
    return files.download(f"{_inside(uri)}/{path}", principal)


def _list(uri: str, path: str, principal: User) -> HttpResponseBase:
    """List a directory with paths from the root of the run or model, as MLflow does."""
    listing = files.listing(f"{_inside(uri)}/{path}".rstrip("/"), principal)
    for entry in listing.get("files", []):
        entry["path"] = f"{path}/{entry['path']}".lstrip("/")
    return JsonResponse({"root_uri": uri, **listing})


def _inside(uri: str) -> str:
    """Return the path below the artifact proxy of a URI of ours."""
    if not uri.startswith(_SCHEME) or uri.startswith(f"{_SCHEME}/"):
        raise InvalidParameter(f"{uri!r} is not stored here.")
    return uri.removeprefix(_SCHEME)


run_file = _viewer(_run_file)
run_listing = _viewer(_run_listing)
logged_model_file = _viewer(_logged_model_file)
logged_model_listing = _viewer(_logged_model_listing)
version_file = _viewer(_version_file)
