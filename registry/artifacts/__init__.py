"""The governed store: the bytes of a version, hashed, read-only, ours alone.

It is a directory or a bucket (`GREENLIGHT_ARTIFACTS`). Layout:
`<model id>/<version id>/<attempt>/…`; the version's row names the attempt that
counts. Files are copied here when a version is registered, and nothing is ever
served from elsewhere.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from core.errors import Conflict, InvalidParameter, NotFound
from registry import intake, prompts
from registry.artifacts import cache
from registry.artifacts.copying import Beat, copy_files
from registry.artifacts.manifest import (
    Manifest,
    differences,
    model_files,
    read_manifest,
)
from registry.artifacts.trees import Entry, LocalTree, Tree, checked, tree_at
from registry.intake import Inspection
from registry.intake.mlmodel import read_mlmodel
from registry.models import Catalog, ModelVersion

__all__ = [
    "Entry",
    "Manifest",
    "Taken",
    "Tree",
    "checked",
    "local_directory",
    "open_file",
    "prepare",
    "source_size",
    "stored",
    "take",
    "tracking",
    "tree_at",
    "unwatched",
    "verify",
]


@dataclass(frozen=True)
class Taken:
    """What an attempt to take the bytes of a version brought into the store."""

    path: str
    manifest: Manifest
    inspection: Inspection

    def discard(self) -> None:
        """Remove it: another taker was first."""
        store().child(self.path).remove()


def store() -> Tree:
    """Return the governed store. Raises Unsupported for a URL without a driver."""
    return tree_at(settings.ARTIFACTS)


def tracking() -> Tree:
    """Return the tree of the files of MLflow's runs, before registration."""
    return tree_at(settings.TRACKING_ARTIFACTS)


def stored(version: ModelVersion) -> Tree:
    """Return the tree that holds the files of a version."""
    return store().child(version.storage_path or f"{version.model_id}/{version.id}")


def local_directory(version: ModelVersion) -> Path:
    """Return the directory on this machine with the files of a version.

    It is the store's own, or, when the store is a bucket, a copy that `prepare`
    brings here.
    """
    tree = stored(version)
    return tree.root if isinstance(tree, LocalTree) else cache.directory_of(version)


def prepare(version: ModelVersion) -> list[str]:
    """Make `local_directory` ready to load; return what differs from the manifest."""
    tree = stored(version)
    if isinstance(tree, LocalTree):
        return verify(version)
    return cache.fetch(version, tree)


def unwatched(_done: int, _total: int) -> None:
    """Nobody looks on while bytes are copied."""


def take(version: ModelVersion, *, beat: Beat = unwatched) -> Taken:
    """Copy the files of a version's source into the store, hashing on the way.

    Every attempt has a directory of its own, and counts only when the version's
    row names it: a crash leaves nothing half-done, a repeat starts anew, and of two
    takers at once one wins. A version of the store shares its bytes with its copy.
    Raises InvalidParameter when the source is no MLflow model.
    """
    source = tree_at(version.source_directory)
    is_ours = version.source_directory.startswith(f"{store().location}/")
    if not source.exists():
        raise InvalidParameter(
            "source holds no files; log the model first, then register it."
        )
    read_mlmodel(source)  # to copy first what is refused then would be a waste
    path = f"{version.model_id}/{version.id}/{secrets.token_hex(8)}"
    target = store().child(path)
    try:
        entries = model_files(source)
        intake.require_size(entries)
        manifest = copy_files(source, target, entries, share=is_ours, beat=beat)
        _require_same(version, manifest)
        inspection = intake.inspect(target, entries, _rules(version))
        target.seal()
    except BaseException:
        target.remove()
        raise
    return Taken(path, manifest, inspection)


def _rules(version: ModelVersion) -> intake.Rules:
    """Return the rules of the catalog; what was registered elsewhere is only marked."""
    if "adopted_from" in version.lineage:
        return intake.LENIENT
    return intake.rules_of(Catalog.objects.get(pk=version.model.schema.catalog_id))


def _require_same(version: ModelVersion, manifest: Manifest) -> None:
    """Let a copy through only when it has the digest of what it was copied from."""
    original = version.lineage.get("copied_from")
    if original and version.lineage["digest"] != manifest.digest:
        raise Conflict(
            f"The bytes of {original} are not those that were registered; "
            "run manage.py verify-artifacts."
        )


def source_size(version: ModelVersion) -> int:
    """Return how many bytes there are to take. Raises InvalidParameter for links."""
    return sum(entry.size for entry in tree_at(version.source_directory).files())


def verify(version: ModelVersion) -> list[str]:
    """Hash the stored bytes again; return what differs from the manifest."""
    if version.model.is_prompt:
        return prompts.verify(version)
    tree = stored(version)
    if not tree.exists():
        return [f"the files of {version.full_name} are gone"]
    return differences(version.manifest, read_manifest(tree).files)


def open_file(version: ModelVersion, path: str) -> BinaryIO:
    """Open one file of a version for reading. Raises NotFound."""
    if path not in {entry["path"] for entry in version.manifest}:
        raise NotFound(f"{version.full_name} has no file {path!r}.")
    try:
        return stored(version).open(path)
    except FileNotFoundError as error:
        raise NotFound(
            f"The bytes of {version.full_name} {path!r} are gone."
        ) from error
