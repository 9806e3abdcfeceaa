"""What all of Envoy's files share: types, wrapping, addresses, safe writing."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings

Json = dict[str, Any]

API = "type.googleapis.com/envoy"
HTTP = f"{API}.extensions.filters.http"
LISTENER = f"{API}.config.listener.v3.Listener"
ROUTES = f"{API}.config.route.v3.RouteConfiguration"
CLUSTER = f"{API}.config.cluster.v3.Cluster"
RUNTIME = f"{API}.service.runtime.v3.Runtime"
EXTENSION = f"{API}.config.core.v3.TypedExtensionConfig"


def write_file(path: Path, content: Json) -> None:
    """Replace a file in one step, so that Envoy never reads half of one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as writer:
        json.dump(content, writer, sort_keys=True, separators=(",", ":"))
        writer.flush()
        os.fsync(writer.fileno())
    Path(fresh).rename(path)


def response(type_url: str, resources: Iterable[Json]) -> Json:
    """Wrap resources as Envoy reads them; the version is their hash."""
    typed = [{"@type": type_url, **resource} for resource in resources]
    return {"version_info": digest_of(typed), "resources": typed}


def digest_of(value: Any) -> str:
    """Return a hash that is equal for equal configuration."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def watched(directory: Path, name: str) -> Json:
    path = directory / name
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": str(path),
            "watched_directory": {"path": str(path.parent)},
        },
    }


def relative(directory: Path, name: str) -> str:
    """Return a socket's path seen from the home, which is every process's directory.

    The path of a unix socket may have 107 bytes, and a home is often deep.
    """
    return os.path.relpath(directory / name, settings.HOME)


def pipe(directory: Path, name: str, mode: int | None = None) -> Json:
    where: Json = {"path": relative(directory, name)}
    return {"pipe": where if mode is None else {**where, "mode": mode}}
