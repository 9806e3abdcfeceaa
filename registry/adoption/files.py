"""Where the files of a version are, how many they are, and how to get them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from registry.adoption.origins import Origin
from registry.artifacts import checked

_MLMODEL = "MLmodel"
# What MLflow's own clients of object stores read, with the operator's credentials.
_REMOTE = {"s3", "gs", "wasbs", "abfss", "r2", "b2", "dbfs", "hdfs", "sftp"}


class Unreachable(Exception):
    """The files cannot be read; the message says why."""


@dataclass(frozen=True)
class Place:
    """A directory here, or a URI that MLflow's artifact clients understand."""

    uri: str
    directory: Path | None = None
    tracking_uri: str | None = None


@dataclass(frozen=True)
class File:
    """One file with its path below the version, and its size in bytes."""

    path: str
    size: int


def find(uri: str, origin: Origin) -> Place:
    """Return the place that a URI of an origin names. Raises Unreachable."""
    parts = urlsplit(uri)
    if parts.scheme == "mlflow-artifacts":
        return _behind_a_server(uri, origin)
    if parts.scheme in {"", "file"}:
        if parts.netloc not in {"", "localhost"}:
            raise Unreachable(f"{uri} names a file of another machine")
        return _directory(Path(unquote(parts.path)), origin)
    if parts.scheme in _REMOTE:
        return Place(uri)
    raise Unreachable(f"{uri} is not a place that files are taken from")


def list_files(place: Place) -> list[File]:
    """List the files of a model. Raises Unreachable when it is none."""
    if place.directory:
        files = list(_files_below(place.directory))
    else:
        files = _asked(place, lambda repository: list(_walk(repository, "")))
    if _MLMODEL not in {file.path for file in files}:
        raise Unreachable(f"there is no MLmodel file in {place.uri}")
    return files


def fetch(
    place: Place, files: list[File], target: Path, *, got: Callable[[int], None]
) -> None:
    """Download the files of a place. `got` is called with the size of each."""
    target.mkdir(parents=True)

    def each(repository: Any) -> None:
        for file in files:
            repository.download_artifacts(checked(file.path), str(target))
            got(file.size)

    _asked(place, each)


def _behind_a_server(uri: str, origin: Origin) -> Place:
    """Return where `mlflow-artifacts:/` leads: a directory, a bucket, a server."""
    parts = urlsplit(uri)
    root = origin.artifacts
    if parts.netloc and parts.netloc != urlsplit(root).netloc:
        raise Unreachable(f"{uri} is kept by another server")
    if not root:
        raise Unreachable(f"{uri} is kept by a server; say where with --artifacts")
    path = unquote(parts.path).strip("/")
    if ".." in path.split("/"):
        raise Unreachable(f"{uri} leaves its directory")
    if root.startswith(("http://", "https://")):
        return Place(f"mlflow-artifacts:/{path}", tracking_uri=root)
    if "://" in root and not root.startswith("file:"):
        return Place(f"{root.rstrip('/')}/{path}")
    return _directory(Path(root.removeprefix("file://")) / path, origin)


def _directory(path: Path, origin: Origin) -> Place:
    """Return a local directory, unless it is none of the origin's business."""
    path = path.resolve()
    if origin.is_server and not _is_below(path, origin.artifacts):
        raise Unreachable(
            f"the server keeps it in its own directory {path}; mount that here and "
            "name it with --artifacts"
        )
    for own in (settings.ARTIFACTS, settings.KEYS_DIR, settings.RUNS_DIR):
        if "://" not in str(own) and _is_below(path, str(own)):
            raise Unreachable(f"{path} is one of Greenlight's own directories")
    if not path.is_dir():
        raise Unreachable(f"there is no directory {path}")
    return Place(str(path), directory=path)


def _is_below(path: Path, root: str) -> bool:
    return "://" not in root and path.is_relative_to(Path(root).resolve())


def _files_below(directory: Path) -> Iterator[File]:
    for root, _, names in os.walk(directory):
        for name in names:
            path = Path(root) / name
            relative = path.relative_to(directory).as_posix()
            yield File(relative, path.lstat().st_size)


def _walk(repository: Any, path: str) -> Iterator[File]:
    for info in repository.list_artifacts(path or None):
        if info.is_dir:
            yield from _walk(repository, info.path)
        else:
            yield File(info.path, info.file_size or 0)


def _asked(place: Place, ask: Callable[[Any], Any]) -> Any:
    try:
        repository = get_artifact_repository(place.uri, tracking_uri=place.tracking_uri)
        return ask(repository)
    except Unreachable:
        raise
    except Exception as error:  # every store's client raises its own kind
        reason = str(error).strip().split("\n")[0]
        raise Unreachable(f"{place.uri}: {reason}") from error
