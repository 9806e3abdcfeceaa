"""How the bytes of a version come into the store: whole, once, or not at all."""

from __future__ import annotations

import datetime as dt
import os
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from access.models import User
from registry import artifacts
from registry import services as registry
from registry.artifacts import LocalTree
from registry.artifacts.copying import copy_files
from registry.models import ModelVersion, RegisteredModel
from registry.tasks import finish_pending
from tests.conftest import MLMODEL


def copy_again(version: ModelVersion, owner: User) -> ModelVersion:
    source = f"models:/{version.full_name}"
    return registry.create_version(version.model, source, principal=owner)


def test_stored_files_are_read_only(version: ModelVersion) -> None:
    directory = artifacts.local_directory(version)
    modes = {path.stat().st_mode & 0o777 for path in directory.rglob("*")}
    assert modes == {0o444}
    assert directory.stat().st_mode & 0o777 == 0o555


def test_copy_shares_the_bytes_of_its_original(
    version: ModelVersion, owner: User
) -> None:
    copy = copy_again(version, owner)
    one, two = (
        artifacts.local_directory(row) / "weights.json" for row in (version, copy)
    )
    assert os.path.samefile(one, two)
    assert one != two


def test_changed_original_is_not_copied(version: ModelVersion, owner: User) -> None:
    path = artifacts.local_directory(version) / "weights.json"
    path.chmod(0o644)
    path.write_text("2")
    copy = copy_again(version, owner)
    assert copy.status == "failed"
    assert "verify-artifacts" in copy.status_message


def test_quarantined_original_is_not_copied(version: ModelVersion, owner: User) -> None:
    registry.report_tampering(version, ["weights.json was changed"])
    with pytest.raises(Exception, match="were changed; copy another"):
        copy_again(version, owner)


def test_many_bytes_are_left_to_a_worker(
    version: ModelVersion, owner: User, settings: LazySettings
) -> None:
    settings.INLINE_BYTES = 10
    copy = copy_again(version, owner)
    assert copy.status == "pending"
    finish_pending()
    copy.refresh_from_db()
    assert (copy.status, copy.digest) == ("ready", version.digest)
    assert copy.taken_bytes == copy.size_bytes == version.size_bytes


def test_failed_attempt_leaves_nothing(
    model: RegisteredModel, owner: User, tmp_path: Path
) -> None:
    source = tmp_path / "linked"
    source.mkdir()
    (source / "MLmodel").write_text("flavors: {python_function: {}}")
    (source / "weights").symlink_to("/etc/passwd")
    version = registry.create_version_from_directory(model, source, principal=owner)
    assert "weights is a symbolic link" in version.status_message
    assert artifacts.store().files() == []


def test_version_that_cannot_come_in_leaves_no_bytes(
    model: RegisteredModel, owner: User, tmp_path: Path
) -> None:
    """A small model is copied before its row is written; here the row is refused."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "MLmodel").write_text(MLMODEL)
    run = {"run_id": str(uuid.uuid4())}
    registry.create_version_from_directory(model, source, lineage=run, principal=owner)
    before = artifacts.store().files()
    with pytest.raises(IntegrityError), transaction.atomic():
        registry.create_version_from_directory(
            model, source, lineage=run, principal=owner
        )
    assert artifacts.store().files() == before
    assert model.versions.count() == 1


def test_storage_that_stays_away_fails_the_version_after_a_day(
    version: ModelVersion, owner: User, settings: LazySettings, tmp_path: Path
) -> None:
    settings.INLINE_BYTES = 10
    copy = copy_again(version, owner)
    (tmp_path / "file").write_text("in the way")
    settings.ARTIFACTS = str(tmp_path / "file" / "store")
    finish_pending()
    copy.refresh_from_db()
    assert copy.status == "pending"
    ModelVersion.objects.filter(pk=copy.pk).update(
        lease_until=timezone.now() - dt.timedelta(seconds=1),
        created_at=timezone.now() - dt.timedelta(days=2),
    )
    finish_pending()
    copy.refresh_from_db()
    assert copy.status == "failed"
    assert "storage" in copy.status_message


@pytest.mark.django_db(transaction=True)
def test_of_two_takers_one_wins(version: ModelVersion, owner: User) -> None:
    copy = copy_again(version, owner)
    ModelVersion.objects.filter(pk=copy.pk).update(status="pending")
    barrier = threading.Barrier(2)

    def take() -> None:
        row = ModelVersion.objects.select_related("model").get(pk=copy.pk)
        barrier.wait()
        try:
            registry.take_bytes(row)
        finally:
            connection.close()

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = ModelVersion.objects.select_related("model").get(pk=copy.pk)
    assert row.status == "ready"
    assert artifacts.verify(row) == []
    attempts = artifacts.store().child(f"{row.model_id}/{row.pk}").children("") or []
    # the one that is named by the row, and the one that was taken back to pending
    assert row.storage_path.split("/")[2] in {entry.path for entry in attempts}
    assert len(attempts) == 2


def test_progress_is_told_and_a_failing_file_stops_the_others(tmp_path: Path) -> None:
    source, target = LocalTree(tmp_path / "a"), LocalTree(tmp_path / "b")
    for number in range(8):
        with source.writer(f"f{number}", None) as writer:
            writer.write(b"x" * 1000)
    told: list[tuple[int, int]] = []
    entries = source.files()
    copy_files(
        source, target, entries, share=False, beat=lambda *seen: told.append(seen)
    )
    assert told[-1] == (8000, 8000)
    (source.root / "f3").unlink()
    with pytest.raises(FileNotFoundError):
        copy_files(source, target, entries, share=False, beat=lambda *_seen: None)


def test_version_of_the_registry_needs_its_files(
    make_version: Callable[..., ModelVersion], model: RegisteredModel
) -> None:
    version = make_version(model)
    LocalTree(artifacts.local_directory(version)).remove()
    assert artifacts.verify(version) == ["the files of prod.fraud.scorer/1 are gone"]
