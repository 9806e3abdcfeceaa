"""MLflow's artifact proxy: the files of runs, and the bytes of versions.

`mlflow-artifacts:/greenlight/<model>/<version>/…` is virtual: it is served from
the governed store after an EXECUTE check. Everything else is the private file
space of an experiment.
"""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath
from typing import BinaryIO
from uuid import UUID

from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from access.models import User
from core.errors import InvalidParameter, NotFound, PermissionDenied, Unsupported
from core.prepared import Prepared
from mlflow_api.messages import answer, caller, integer, read_message, text
from registry import artifacts, reads
from registry import services as registry
from registry.artifacts import Entry
from registry.experiments import Level
from registry.models import ModelVersion

VIRTUAL = "greenlight"
_CHUNK = 2**18
_VERSION = Prepared[ModelVersion](
    lambda pk: ModelVersion.objects.select_related("model").filter(pk=pk), UUID
)


@answer
def list_files(request: HttpRequest) -> HttpResponse:
    """List one directory; a file lists as nothing, which the client relies on."""
    principal = caller(request)
    path = text(read_message(request), "path", "")
    return JsonResponse(listing(path.rstrip("/"), principal))


def listing(path: str, principal: User) -> dict[str, list[dict[str, object]]]:
    """List a directory that the principal may read; a file lists as nothing."""
    return _listing(_children(path, principal))


@answer
def one_file(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve GET and PUT of one file."""
    principal = caller(request)
    if request.META.get("QUERY_STRING"):
        raise InvalidParameter("A file takes no query parameters.")
    if request.method in {"GET", "HEAD"}:
        return download(path, principal)
    if request.method == "PUT":
        return _upload(request, path, principal)
    raise PermissionDenied(f"{request.method} of a file is not served.")


@answer
def no_multipart(request: HttpRequest, path: str) -> HttpResponse:
    """Say what makes the client fall back to one streaming PUT."""
    caller(request)
    raise Unsupported(
        "Multipart upload is not supported for the current artifact repository"
    )


def download(path: str, principal: User) -> HttpResponseBase:
    """Send a file that the principal may read; a browser neither shows nor runs it."""
    handle = _open(path, principal)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    response = FileResponse(
        handle,
        as_attachment=True,
        filename=PurePosixPath(path).name,
        content_type=kind,
        headers={
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        },
    )
    response.block_size = _CHUNK
    return response


def _open(path: str, principal: User) -> BinaryIO:
    if _is_virtual(path):
        version, file = _version_file(path, principal)
        handle = artifacts.open_file(version, file)
        registry.record_load(version, file, principal=principal)
        return handle
    _require_experiment(path, principal)
    try:
        return artifacts.tracking().open(path)
    except FileNotFoundError as error:
        raise NotFound(f"No file {path!r}.") from error


def _upload(request: HttpRequest, path: str, principal: User) -> HttpResponse:
    """Write the body to a file of a run, in chunks: the whole is never in memory."""
    if _is_virtual(path):
        raise PermissionDenied("A registered version is immutable.")
    _require_experiment(path, principal, Level.EDIT)
    if "/" not in path:
        raise InvalidParameter(f"path {path!r} names no file in an experiment.")
    try:
        _write(request, path)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InvalidParameter(
            f"path {path!r} lies below a file or is a directory; choose another."
        ) from error
    return JsonResponse({})


def _write(request: HttpRequest, path: str) -> None:
    length = request.META.get("CONTENT_LENGTH")
    size, received = int(length) if length else None, 0
    with artifacts.tracking().writer(path, size) as writer:
        while chunk := request.read(_CHUNK):
            writer.write(chunk)
            received += len(chunk)
        if size is not None and received != size:
            raise InvalidParameter(
                f"The body ended after {received} of {size} bytes; send it again."
            )


def _children(path: str, principal: User) -> list[Entry] | None:
    """Return what lies directly below a path that the principal may read."""
    if _is_virtual(path):
        version, inside = _version_file(path, principal)
        return _manifest_children(version, inside)
    _require_experiment(path, principal)
    return artifacts.tracking().children(path)


def _is_virtual(path: str) -> bool:
    """Tell whether a path is one of a registered version; refuse one that is not plain."""
    return artifacts.checked(path).split("/")[0] == VIRTUAL


def _require_experiment(path: str, principal: User, level: Level = Level.READ) -> None:
    registry.require_experiment(path.split("/")[0], level, principal=principal)


def _version_file(path: str, principal: User) -> tuple[ModelVersion, str]:
    """Return the version that a virtual path names, and the path inside it."""
    _, full_name, number, *rest = [*path.split("/"), "", ""]
    version = integer({"version": number}, "version")
    row = reads.loadable_version(full_name, version, principal=principal)
    found = _VERSION.first(row.id)
    if found is None:
        raise NotFound(f"{full_name} has no version {version}.")
    if found.tampered_at:
        raise PermissionDenied(
            f"The bytes of {found.full_name} were changed on disk; it loads no more."
        )
    return found, "/".join(rest).strip("/")


def _manifest_children(version: ModelVersion, inside: str) -> list[Entry] | None:
    """List a directory of a version from its manifest: the storage is not asked."""
    prefix = f"{inside}/" if inside else ""
    found = {}
    for file in version.manifest:
        if file["path"].startswith(prefix):
            name, slash, _ = file["path"].removeprefix(prefix).partition("/")
            found[name] = Entry(name, 0 if slash else file["size"], bool(slash))
    return [found[name] for name in sorted(found)] or None


def _listing(entries: list[Entry] | None) -> dict[str, list[dict[str, object]]]:
    if entries is None:
        return {}
    return {"files": [_entry_json(entry) for entry in entries]}


def _entry_json(entry: Entry) -> dict[str, object]:
    listed: dict[str, object] = {"path": entry.path, "is_dir": entry.is_dir}
    if not entry.is_dir:
        listed["file_size"] = entry.size
    return listed
