"""What a version consists of: every file with its size and sha-256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from registry.artifacts.trees import CHUNK, Entry, Tree

# MLflow's client adds this one when it copies; it is not part of the model.
IGNORED = frozenset({"registered_model_meta"})


@dataclass(frozen=True)
class Manifest:
    """Every file of a version, in the order of their paths."""

    files: list[dict[str, Any]]

    @property
    def digest(self) -> str:
        """The sha-256 over the concatenated file digests, in the order of the files.

        This is the subject digest of an OpenSSF model-signing bundle.
        """
        total = hashlib.sha256()
        for entry in self.files:
            total.update(bytes.fromhex(entry["sha256"]))
        return total.hexdigest()

    @property
    def size_bytes(self) -> int:
        return sum(entry["size"] for entry in self.files)


def described(path: str, size: int, sha256: str) -> dict[str, Any]:
    """Return a file as the manifest knows it."""
    return {"path": path, "size": size, "sha256": sha256}


def model_files(tree: Tree) -> list[Entry]:
    """Return the files of a tree that belong to the model."""
    return [entry for entry in tree.files() if entry.path not in IGNORED]


def read_manifest(tree: Tree) -> Manifest:
    """Hash every file of a tree."""
    return Manifest([hash_file(tree, entry.path) for entry in model_files(tree)])


def hash_file(tree: Tree, path: str) -> dict[str, Any]:
    """Hash one file of a tree, in constant memory."""
    sha256, size = hashlib.sha256(), 0
    with tree.open(path) as reader:
        while chunk := reader.read(CHUNK):
            sha256.update(chunk)
            size += len(chunk)
    return described(path, size, sha256.hexdigest())


def differences(
    recorded: list[dict[str, Any]], found: list[dict[str, Any]]
) -> list[str]:
    """Say which files are missing, were added, or were changed."""
    before = {entry["path"]: entry["sha256"] for entry in recorded}
    now = {entry["path"]: entry["sha256"] for entry in found}
    missing = [f"{path} is missing" for path in before.keys() - now.keys()]
    extra = [f"{path} was added" for path in now.keys() - before.keys()]
    changed = [
        f"{path} was changed"
        for path in before.keys() & now.keys()
        if before[path] != now[path]
    ]
    return sorted(missing + extra + changed)
