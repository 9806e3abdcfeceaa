"""Bytes stored once under their sha-256, read-only, and paths that stay inside.

Snapshots, packages and the artifacts of runs all live in such stores.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from django.conf import settings

from core.errors import InvalidParameter

_CHUNK = 2**20
_MAX_PATH = 1024

Entry = dict[str, Any]  # {"path", "size", "sha256"}


def is_safe(path: str) -> bool:
    """Tell whether a relative path stays inside and reads alike everywhere.

    Refused: absolute, empty or `..` parts, backslashes, control characters, and
    spellings that another file system would read as a different name.
    """
    parts = path.split("/")
    odd = {"", ".", ".."}.intersection(parts) or "\\" in path or ":" in parts[0]
    controls = any(unicodedata.category(character)[0] == "C" for character in path)
    normal = unicodedata.normalize("NFC", path) == path
    return not odd and not controls and normal and len(path) <= _MAX_PATH


def safe_path(path: str, what: str = "path") -> str:
    """Return a relative path as given, or raise InvalidParameter."""
    if not is_safe(path):
        raise InvalidParameter(
            f"{what} {path!r} is not safe: use a relative path inside the folder, "
            f"up to {_MAX_PATH} characters, without '..', '\\' or control characters."
        )
    return path


def store(content: IO[bytes], directory: Path | None = None) -> tuple[str, int]:
    """Store a stream and return its sha-256 and size; hash it while copying.

    Written beside and renamed, so a blob is whole or absent.
    """
    directory = directory or blobs_directory()
    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / f".{os.getpid()}.{secrets.token_hex(8)}"
    try:
        sha256, size = copy_hashed(content, fresh)
        final = blob_path(sha256, directory)
        final.parent.mkdir(exist_ok=True)
        fresh.rename(final)
    finally:
        fresh.unlink(missing_ok=True)
    return sha256, size


def copy_hashed(content: IO[bytes], target: Path) -> tuple[str, int]:
    """Copy a stream into a new read-only file; return its sha-256 and size."""
    sha256, size = hashlib.sha256(), 0
    with target.open("xb") as writer:
        while chunk := content.read(_CHUNK):
            sha256.update(chunk)
            size += writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
        os.fchmod(writer.fileno(), 0o444)
    return sha256.hexdigest(), size


def blobs_directory() -> Path:
    return Path(settings.HOME) / "blobs"


def blob_path(sha256: str, directory: Path | None = None) -> Path:
    """Return where a blob lies, or would."""
    return (directory or blobs_directory()) / sha256[:2] / sha256[2:]


def files_below(directory: Path) -> Iterator[Path]:
    """Yield the regular files below a directory in sorted order; links are skipped."""
    for folder, folders, names in os.walk(directory, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                yield path


def manifest_digest(manifest: Iterable[Entry]) -> str:
    """Return the sha-256 of the lines `sha256 size path`, sorted by path."""
    lines = (
        f"{entry['sha256']} {entry['size']} {entry['path']}\n"
        for entry in sorted(manifest, key=lambda entry: entry["path"])
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_below(path: str, folder: str) -> bool:
    """Tell whether a relative path lies in a folder; the empty folder holds all."""
    return not folder or PurePosixPath(path).is_relative_to(folder)
