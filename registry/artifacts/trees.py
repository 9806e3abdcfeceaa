"""Trees of files on a disk or in object storage, behind one small interface.

The governed store, its cache and the files of MLflow's runs are trees. Bytes go
through them in chunks, so the size of a file costs no memory.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol
from urllib.parse import unquote

from core.errors import InvalidParameter

CHUNK = 2**20
_NAME_BYTES = 255  # what a file system takes
_PATH_BYTES = 1024  # what S3 takes
_PARTIAL = ".partial"


@dataclass(frozen=True)
class Entry:
    """A file, or a directory of a listing, by its path relative to the tree."""

    path: str
    size: int = 0
    is_dir: bool = False


class Tree(Protocol):
    """A directory of files. Paths are relative, with slashes, checked by `checked`."""

    @property
    def location(self) -> str:
        """The path or URL that `tree_at` takes."""

    def child(self, path: str) -> Tree:
        """Return the tree below a path of this one."""

    def exists(self) -> bool:
        """Tell whether there is at least one file."""

    def files(self) -> list[Entry]:
        """Return every file, in the order of their paths; refuse links."""

    def children(self, path: str) -> list[Entry] | None:
        """Return what lies directly below a path, or None if it is no directory."""

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading. Raises FileNotFoundError."""

    def writer(self, path: str, size: int | None) -> AbstractContextManager[BinaryIO]:
        """Open a file for writing; it appears, whole, when the block ends well."""

    def take_over(self, path: str, source: Tree) -> bool:
        """Take a file of another tree without moving its bytes, where that goes."""

    def seal(self) -> None:
        """Make everything durable, and read-only where the storage knows that."""

    def remove(self) -> None:
        """Remove every file."""


def checked(path: str) -> str:
    """Return a relative path, or raise InvalidParameter when it is not plain.

    A part must not name another directory, also when somebody decodes it again.
    """
    parts = path.split("/") if path else []
    if not all(_is_plain(part) for part in parts):
        raise InvalidParameter(
            f"path {path!r} must be relative, without '..', '\\' and empty parts."
        )
    if len(path.encode(errors="surrogateescape")) > _PATH_BYTES:
        raise InvalidParameter(f"path is longer than {_PATH_BYTES} bytes; shorten it.")
    return path


def _is_plain(part: str) -> bool:
    if len(part.encode(errors="surrogateescape")) > _NAME_BYTES:
        return False
    while (decoded := unquote(part)) != part:
        part = decoded
    return part not in {"", ".", ".."} and not set(part) & {"/", "\\", "\0"}


def in_order(entries: list[Entry]) -> list[Entry]:
    """Sort by path, part by part, as OpenSSF model signing does."""
    return sorted(entries, key=lambda entry: PurePosixPath(entry.path))


@dataclass(frozen=True)
class LocalTree:
    """A directory."""

    root: Path

    @property
    def location(self) -> str:
        return str(self.root)

    def child(self, path: str) -> LocalTree:
        return LocalTree(self._inside(path))

    def exists(self) -> bool:
        return self.root.is_dir()

    def files(self) -> list[Entry]:
        found = []
        for path in self.root.rglob("*"):
            name = path.relative_to(self.root).as_posix()
            if path.is_symlink():
                raise InvalidParameter(
                    f"{name} is a symbolic link; store the file itself."
                )
            if path.is_file() and not name.endswith(_PARTIAL):
                found.append(Entry(checked(name), path.stat().st_size))
        return in_order(found)

    def children(self, path: str) -> list[Entry] | None:
        directory = self._inside(path)
        if not directory.is_dir():
            return None
        return [
            Entry(entry.name, 0 if is_dir else entry.stat().st_size, is_dir)
            for entry in sorted(directory.iterdir())
            if not entry.name.endswith(_PARTIAL) and not entry.is_symlink()
            for is_dir in [entry.is_dir()]
        ]

    def open(self, path: str) -> BinaryIO:
        target = self._inside(path)
        if not target.is_file():
            raise FileNotFoundError(path)
        return target.open("rb")

    @contextmanager
    def writer(self, path: str, size: int | None) -> Iterator[BinaryIO]:
        target = self._inside(path)
        partial = target.with_name(f".{secrets.token_hex(8)}{_PARTIAL}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("xb") as writer:
                yield writer
                writer.flush()
                os.fsync(writer.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def take_over(self, path: str, source: Tree) -> bool:
        """Link the file: both trees are read-only, so they may share its bytes."""
        if not isinstance(source, LocalTree):
            return False
        target = self._inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source._inside(path), target, follow_symlinks=False)
        except OSError:  # another file system, or one without links
            return False
        return True

    def seal(self) -> None:
        for path in self.root.rglob("*"):
            if path.is_file():
                path.chmod(0o444)
            else:
                path.chmod(0o555)
                _sync(path)
        self.root.chmod(0o555)
        # with the names of the attempt, its version and its model, when they are new
        for directory in (self.root, *self.root.parents[:3]):
            _sync(directory)

    def remove(self) -> None:
        if not self.root.is_dir():
            return
        self.root.chmod(0o755)
        for path in self.root.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(self.root)

    def _inside(self, path: str) -> Path:
        target = self.root / checked(path) if path else self.root
        if not target.resolve().is_relative_to(self.root.resolve()):
            raise InvalidParameter(f"path {path!r} leaves its directory.")
        return target


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def tree_at(location: str) -> Tree:
    """Return the tree at a path, or at a URL of object storage.

    Raises Unsupported for a kind of URL that no installed driver knows.
    """
    if "://" not in location:
        return LocalTree(Path(location))
    from registry.artifacts.objects import object_tree

    return object_tree(location)
