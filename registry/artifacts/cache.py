"""Copies on this machine of versions whose bytes lie in object storage.

A model server loads a directory. What is in the cache was hashed when it came and
is hashed again before it is used; its name is the digest, so models share it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.conf import settings

from registry.artifacts.copying import copy_files
from registry.artifacts.manifest import differences, model_files, read_manifest
from registry.artifacts.trees import LocalTree, Tree
from registry.models import ModelVersion


def directory_of(version: ModelVersion) -> Path:
    """Return where the copy of a version lies, or would lie."""
    return Path(settings.ARTIFACTS_CACHE) / version.digest


def fetch(version: ModelVersion, stored: Tree) -> list[str]:
    """Bring the verified bytes of a version to this machine; return what differs.

    A copy that was changed is thrown away and fetched again.
    """
    copy = LocalTree(directory_of(version))
    if copy.exists():
        if not differences(version.manifest, read_manifest(copy).files):
            os.utime(copy.root)  # `prune` removes what nobody used for long
            return []
        copy.remove()
    return _download(version, stored, copy)


def _download(version: ModelVersion, stored: Tree, copy: LocalTree) -> list[str]:
    staging = copy.root.with_name(f".{version.digest}-{secrets.token_hex(4)}")
    fresh = LocalTree(staging)
    try:
        entries = model_files(stored)
        manifest = copy_files(
            stored, fresh, entries, share=False, beat=lambda _done, _total: None
        )
        if problems := differences(version.manifest, manifest.files):
            return problems
        fresh.seal()
        _publish(staging, copy)
        return []
    finally:
        fresh.remove()


def _publish(staging: Path, copy: LocalTree) -> None:
    try:
        staging.rename(copy.root)
    except OSError:
        if not copy.exists():
            raise  # else another process was first, with the same bytes
