from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from core.errors import DomainError, InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from runners import blobs, datasets
from runners import services as runners
from runners.models import Dataset, Snapshot
from tests.runners.conftest import DATA, in_memory

pytestmark = pytest.mark.django_db


def test_same_files_are_the_same_snapshot(
    dataset: Dataset, snapshot: Snapshot, trainer: User
) -> None:
    again = runners.create_snapshot(
        dataset, in_memory(dict(reversed(DATA.items()))), principal=trainer
    )

    assert again == snapshot
    assert Event.objects.filter(type="snapshot.created").count() == 1


def test_directory_gives_the_snapshot_of_its_files(
    dataset: Dataset, snapshot: Snapshot, trainer: User, tmp_path: Path
) -> None:
    for path, content in DATA.items():
        (tmp_path / "d" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / path).write_bytes(content)

    again = runners.snapshot_directory(dataset, tmp_path / "d", principal=trainer)

    assert again == snapshot


def test_check_out_of_a_folder_is_read_only_and_exact(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    datasets.check_out(snapshot, "sub", tmp_path / "data")

    found = {
        path.relative_to(tmp_path / "data").as_posix(): path.read_bytes()
        for path in blobs.files_below(tmp_path / "data")
    }
    assert found == {"b.csv": b"3,4\n", "deep/c.csv": b"5,6\n"}
    assert (tmp_path / "data").stat().st_mode & 0o222 == 0
    assert (tmp_path / "data" / "b.csv").stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("path", ["../a", "/a", "a/../b", "a\\b", ""])
def test_unsafe_path_is_refused(dataset: Dataset, trainer: User, path: str) -> None:
    with pytest.raises(InvalidParameter, match="not safe"):
        runners.create_snapshot(dataset, [(path, io.BytesIO(b""))], principal=trainer)


def test_file_that_is_also_a_folder_is_refused(dataset: Dataset, trainer: User) -> None:
    files = {"a": b"1", "a/b": b"2"}

    with pytest.raises(InvalidParameter, match="both a file and a folder"):
        runners.create_snapshot(dataset, in_memory(files), principal=trainer)


def test_damaged_blob_is_noticed_before_training(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    blob = blobs.blob_path(snapshot.manifest[0]["sha256"])
    blob.chmod(0o644)
    blob.write_bytes(b"9,9\n")

    with pytest.raises(DomainError, match="changed on disk"):
        datasets.check_out(snapshot, "", tmp_path / "data")


def test_writing_needs_write_dataset(
    dataset: Dataset,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
    trainer: User,
) -> None:
    use(grantee)
    with pytest.raises(PermissionDenied, match="WRITE DATASET"):
        runners.create_snapshot(dataset, in_memory(DATA), principal=grantee)
    with pytest.raises(NotFound):
        runners.create_snapshot(dataset, in_memory(DATA), principal=stranger)

    access.grant(dataset, Privilege.WRITE_DATASET, grantee, principal=trainer)
    snapshot = runners.create_snapshot(dataset, in_memory(DATA), principal=grantee)

    assert snapshot.created_by == grantee


def test_dataset_needs_create_dataset_and_three_levels(
    trainer: User, stranger: User
) -> None:
    with pytest.raises(NotFound):
        runners.create_dataset("prod.fraud.mine", principal=stranger)
    with pytest.raises(InvalidParameter, match="all three levels"):
        runners.create_dataset("fraud.mine", principal=trainer)
