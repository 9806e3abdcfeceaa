"""Which bytes in the store does no version need? Found from the rows.

Only what we put there ourselves is named: attempts that no row counts on, bytes of
versions deleted long enough ago, local copies that nobody used for long. Bytes of
versions that no row knows are told and left: the rows may have been lost.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from registry.artifacts.trees import Entry, LocalTree, Tree, tree_at
from registry.models import ModelVersion, VersionStatus

# an attempt may still be running, or just be about to be counted on
_ATTEMPT_GRACE = dt.timedelta(days=1)


@dataclass(frozen=True)
class Leftover:
    """Bytes that no version needs, or that no row knows."""

    tree: Tree
    reason: str
    is_known: bool = True

    @property
    def size_bytes(self) -> int:
        return sum(entry.size for entry in self.tree.files())


def leftovers(grace: dt.timedelta) -> Iterator[Leftover]:
    """Yield what may be removed, and what is there that no row knows."""
    store = tree_at(settings.ARTIFACTS)
    for model in _directories(store):
        below = store.child(model.path)
        names = [entry.path for entry in _directories(below)]
        for name in names:
            yield from _of_version(below.child(name), model.path, name, grace)
    yield from _unused_copies(grace)


def _directories(tree: Tree) -> list[Entry]:
    return [entry for entry in tree.children("") or [] if entry.is_dir]


def _of_version(
    tree: Tree, model: str, name: str, grace: dt.timedelta
) -> Iterator[Leftover]:
    version = _row(name)
    if version is None:
        yield Leftover(tree, "no version is known of that name", is_known=False)
        return
    if version.deleted_at is not None:
        if version.deleted_at < timezone.now() - grace:
            yield Leftover(tree, f"version {version.number} of {model} was deleted")
        return
    is_busy = version.status == VersionStatus.PENDING
    if is_busy or version.created_at > timezone.now() - _ATTEMPT_GRACE:
        return
    counted = version.storage_path.split("/")[-1]
    for attempt in _directories(tree):
        # rows without a path are older than attempts: their files lie here
        if version.storage_path and attempt.path != counted:
            yield Leftover(tree.child(attempt.path), "an attempt that did not finish")


def _row(name: str) -> ModelVersion | None:
    try:
        return ModelVersion.objects.filter(pk=uuid.UUID(name)).first()
    except ValueError:
        return None


def _unused_copies(grace: dt.timedelta) -> Iterator[Leftover]:
    cache = Path(settings.ARTIFACTS_CACHE)
    before = (timezone.now() - grace).timestamp()
    for directory in sorted(cache.iterdir()) if cache.is_dir() else ():
        if directory.is_dir() and directory.stat().st_mtime < before:
            yield Leftover(LocalTree(directory), "a local copy that nobody used")
