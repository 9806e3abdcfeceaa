"""A tree in object storage: S3 and what speaks its protocol, by fsspec.

Google's and Azure's storage work the same way once their driver is installed.
Credentials come from where each driver looks for them itself (for S3: the AWS_*
variables, the shared files, the role of the machine).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO

import fsspec

from core.errors import Unsupported
from registry.artifacts.trees import Entry, Tree, checked, in_order

# scheme -> the package that brings its driver
DRIVERS = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
# One request moves this much, and one open file holds about twice as much.
_BLOCK = 5 * 2**20  # the least that S3 takes for a part
_MOST_PARTS = 9_000  # S3 takes 10,000 parts of one object
_OPTIONS: dict[str, dict[str, Any]] = {"s3": {"max_concurrency": 1}}


def object_tree(url: str) -> ObjectTree:
    """Return the tree at a URL. Raises Unsupported when there is no driver for it."""
    scheme, _, path = url.partition("://")
    root = path.strip("/")
    if not root:
        raise Unsupported(f"{url!r} names no bucket; write {scheme}://bucket/prefix.")
    return ObjectTree(_file_system(scheme), scheme, root)


@cache
def _file_system(scheme: str) -> Any:
    if scheme not in DRIVERS:
        raise Unsupported(
            f"{scheme}:// is no storage for artifacts; use a directory, or one of "
            f"{', '.join(f'{known}://' for known in DRIVERS)}."
        )
    try:
        return fsspec.filesystem(
            scheme,
            use_listings_cache=False,  # another process writes, too
            skip_instance_cache=True,
            **_OPTIONS.get(scheme, {}),
        )
    except ImportError as error:
        package = DRIVERS[scheme]
        raise Unsupported(
            f"{scheme}:// needs the package {package}: pip install {package}"
        ) from error


@dataclass(frozen=True)
class ObjectTree:
    """The objects whose keys begin with a prefix."""

    fs: Any
    scheme: str
    root: str

    @property
    def location(self) -> str:
        return f"{self.scheme}://{self.root}"

    def child(self, path: str) -> ObjectTree:
        return ObjectTree(self.fs, self.scheme, self._key(path))

    def exists(self) -> bool:
        return bool(self.children(""))

    def files(self) -> list[Entry]:
        found = self.fs.find(self.root, detail=True)
        return in_order(
            [
                Entry(checked(name.removeprefix(f"{self.root}/")), info["size"] or 0)
                for name, info in found.items()
                if info["type"] == "file" and not name.endswith("/")
            ]
        )

    def children(self, path: str) -> list[Entry] | None:
        prefix = f"{self._key(path)}/"
        try:
            found = self.fs.ls(prefix, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return None
        entries = [
            Entry(name, info["size"] or 0, info["type"] == "directory")
            for info in found
            if (name := info["name"].removeprefix(prefix).rstrip("/"))
            and info["name"].startswith(prefix)
        ]
        return sorted(entries, key=lambda entry: entry.path) or None

    def open(self, path: str) -> BinaryIO:
        handle: BinaryIO = self.fs.open(
            self._key(path), "rb", block_size=_BLOCK, cache_type="readahead"
        )
        return handle

    @contextmanager
    def writer(self, path: str, size: int | None) -> Iterator[BinaryIO]:
        """Write an object: one request for a small one, else in parts.

        Storage shows an object only when all of it is there; what was begun and
        not finished is taken back.
        """
        is_small = size is not None and size < _BLOCK
        handle = self.fs.open(
            self._key(path),
            "wb",
            block_size=max(_BLOCK, -(-(size or 0) // _MOST_PARTS)),
            autocommit=is_small,
        )
        try:
            yield handle
            handle.close()
            if not is_small:
                handle.commit()
        except BaseException:
            handle.discard()
            handle.closed = True  # or it would be uploaded when it is collected
            raise

    def take_over(self, path: str, source: Tree) -> bool:
        """Let the storage copy the object by itself."""
        if not isinstance(source, ObjectTree) or source.fs is not self.fs:
            return False
        self.fs.cp_file(source._key(path), self._key(path))
        return True

    def seal(self) -> None:
        """Nothing to do: an object is durable once its upload was answered."""

    def remove(self) -> None:
        if self.fs.exists(self.root):
            self.fs.rm(self.root, recursive=True)

    def _key(self, path: str) -> str:
        return f"{self.root}/{checked(path)}" if path else self.root
