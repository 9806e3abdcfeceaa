"""Datasets and snapshots: immutable, content-addressed, checked out by copy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from access.authz import require
from access.models import User
from access.privileges import Privilege
from core.errors import AlreadyExists, DomainError, InvalidParameter, NotFound, unseen
from events.services import emit
from events.types import EventType
from registry import services as registry
from registry.names import split_full_name
from runners import blobs
from runners.models import Dataset, Snapshot

MAX_FILES = 50_000


class SnapshotDamaged(DomainError):
    """A blob of a snapshot is gone or is not what the manifest says."""


def get_dataset(full_name: str) -> Dataset:
    """Return a dataset by full name, with its containers. Raises NotFound."""
    rows = Dataset.objects.select_related(
        "schema__catalog__owner", "schema__owner", "owner"
    )
    found: Dataset | None = rows.filter(full_name=full_name).first()
    if found is None:
        split_full_name(full_name, "dataset")
        raise unseen("dataset", full_name)
    return found


def visible_datasets(principal: User) -> QuerySet[Dataset]:
    """Return the datasets that the principal sees, if only by BROWSE."""
    rows: QuerySet[Dataset] = Dataset.objects.visible(principal)
    return rows.select_related("owner", "schema__catalog")


@transaction.atomic
def create_dataset(full_name: str, *, comment: str = "", principal: User) -> Dataset:
    """Create an empty dataset, owned by the principal."""
    catalog, schema_name, name = split_full_name(full_name, "dataset")
    schema = registry.get_schema(f"{catalog}.{schema_name}")
    require(principal, Privilege.CREATE_DATASET, schema)
    registry.keep(schema)
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(
                schema=schema,
                name=name,
                full_name=full_name,
                comment=comment,
                owner=principal,
            )
    except IntegrityError as error:
        raise AlreadyExists(f"There is a dataset {full_name} already.") from error
    emit(EventType.DATASET_CREATED, dataset, principal=principal)
    return dataset


def create_snapshot(
    dataset: Dataset, files: Iterable[tuple[str, IO[bytes]]], *, principal: User
) -> Snapshot:
    """Store files as a snapshot; the same files again give the same snapshot."""
    require(principal, Privilege.WRITE_DATASET, dataset)
    manifest: dict[str, blobs.Entry] = {}
    for path, content in files:
        blobs.safe_path(path, "The file")
        if path in manifest:
            raise InvalidParameter(f"The file {path!r} appears twice.")
        if len(manifest) == MAX_FILES:
            raise InvalidParameter(f"A snapshot has at most {MAX_FILES} files.")
        sha256, size = blobs.store(content)
        manifest[path] = {"path": path, "size": size, "sha256": sha256}
    _refuse_file_that_is_a_folder(manifest)
    return _record(dataset, [manifest[path] for path in sorted(manifest)], principal)


def _refuse_file_that_is_a_folder(manifest: dict[str, blobs.Entry]) -> None:
    if not manifest:
        raise InvalidParameter("A snapshot needs at least one file.")
    for path in manifest:
        for folder in list(Path(path).parents)[:-1]:
            if folder.as_posix() in manifest:
                raise InvalidParameter(f"{folder} is both a file and a folder.")


@transaction.atomic
def _record(dataset: Dataset, manifest: list[blobs.Entry], principal: User) -> Snapshot:
    snapshot, created = Snapshot.objects.get_or_create(
        dataset=dataset,
        digest=blobs.manifest_digest(manifest),
        defaults={
            "manifest": manifest,
            "files": len(manifest),
            "size_bytes": sum(entry["size"] for entry in manifest),
            "created_by": principal,
        },
    )
    if created:
        emit(
            EventType.SNAPSHOT_CREATED,
            snapshot,
            principal=principal,
            dataset=dataset.full_name,
            digest=snapshot.digest,
            files=snapshot.files,
            size_bytes=snapshot.size_bytes,
        )
    return snapshot


def snapshot_directory(
    dataset: Dataset, directory: Path, *, principal: User
) -> Snapshot:
    """Store the files below a directory of this machine as a snapshot."""
    require(principal, Privilege.WRITE_DATASET, dataset)

    def opened() -> Iterable[tuple[str, IO[bytes]]]:
        for path in blobs.files_below(directory):
            with path.open("rb") as content:
                yield path.relative_to(directory).as_posix(), content

    return create_snapshot(dataset, opened(), principal=principal)


def get_snapshot(dataset: Dataset, digest: str = "") -> Snapshot:
    """Return a snapshot by digest, or the newest. Raises NotFound."""
    rows = Snapshot.objects.filter(dataset=dataset).order_by("-created_at")
    found = (rows.filter(digest=digest) if digest else rows).first()
    if found is None:
        wanted = f"snapshot {digest}" if digest else "snapshot yet"
        raise NotFound(f"{dataset.full_name} has no {wanted}.")
    found.dataset = dataset
    return found


def entries_in(snapshot: Snapshot, folder: str = "") -> list[blobs.Entry]:
    """Return the manifest of a folder of a snapshot. Raises InvalidParameter."""
    found = [
        entry for entry in snapshot.manifest if blobs.is_below(entry["path"], folder)
    ]
    if not found:
        raise InvalidParameter(
            f"{snapshot.dataset.full_name} has no folder {folder!r} in "
            f"snapshot {snapshot.digest[:12]}."
        )
    return found


def check_out(snapshot: Snapshot, folder: str, target: Path) -> None:
    """Copy a snapshot, or a folder of it, into a fresh read-only directory.

    Hashed while copying, so that a run never trains on damaged data.
    Raises SnapshotDamaged.
    """
    target.mkdir(parents=True)
    for entry in entries_in(snapshot, folder):
        relative = Path(entry["path"]).relative_to(folder or ".")
        _copy_blob(entry, target / relative)
    for directory in [*(d for d in target.rglob("*") if d.is_dir()), target]:
        directory.chmod(0o555)


def _copy_blob(entry: blobs.Entry, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with blobs.blob_path(entry["sha256"]).open("rb") as reader:
            sha256, _ = blobs.copy_hashed(reader, target)
    except FileNotFoundError as error:
        raise SnapshotDamaged(f"The bytes of {entry['path']} are gone.") from error
    if sha256 != entry["sha256"]:
        raise SnapshotDamaged(f"The bytes of {entry['path']} were changed on disk.")


def open_file(snapshot: Snapshot, path: str) -> IO[bytes]:
    """Open one file of a snapshot for reading. Raises NotFound."""
    for entry in snapshot.manifest:
        if entry["path"] == path:
            return blobs.blob_path(entry["sha256"]).open("rb")
    raise NotFound(f"{snapshot.full_name} has no file {path!r}.")
