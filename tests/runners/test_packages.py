from __future__ import annotations

import io
import stat
import threading
import zipfile
from collections.abc import Callable

import pytest
from django.db import connection

from access.models import User
from core.errors import (
    AlreadyExists,
    DomainError,
    InvalidParameter,
    NotFound,
    PermissionDenied,
    TooLarge,
)
from runners import environments, lifecycle, packages
from runners import services as runners
from runners.models import Package, PackageVersion, Pipeline, Run
from tests.runners.packages import TRAIN, zipped
from tests.runners.packages import package as zipped_package


def link(name: str, target: str) -> io.BytesIO:
    packed = zipped_package()
    with zipfile.ZipFile(packed, "a") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, target)
    packed.seek(0)
    return packed


@pytest.mark.parametrize(
    ("train", "complaint"),
    [
        (
            "class Main:\n    def save(self): ...",
            r"train.py: class Main has no train\(\)",
        ),
        ("class Main:\n    def train(self, d): ...", r"class Main has no save\(\)"),
        ("def train(): ...", "train.py has no class Main"),
        ("class Main(:", "train.py, line 1"),
    ],
)
def test_up_03_package_that_cannot_be_trained_is_refused(
    train: str, complaint: str
) -> None:
    with pytest.raises(InvalidParameter, match=complaint):
        packages.take_in(zipped_package(train))


def test_package_without_train_py_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"no train\.py"):
        packages.take_in(zipped({"main.py": "class Main: ..."}))


def test_up_02_functions_are_found_without_running_the_code() -> None:
    dangerous = "raise SystemExit('it was imported')\n" + TRAIN

    intake = packages.take_in(zipped_package(dangerous))

    assert intake.functions == {"train.py": ["save", "train"]}


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "/etc/evil",
        "a/../../evil",
        "a\\b",
        "C:/evil",
        "a//b",
        "./a",
        "a\nb",
    ],
)
def test_entry_that_leaves_the_folder_is_refused(name: str) -> None:
    with pytest.raises(InvalidParameter, match="not safe"):
        packages.take_in(zipped({"train.py": TRAIN, name: "x"}))


def test_link_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="link"):
        packages.take_in(link("secret", "/etc/passwd"))


def test_bomb_is_refused() -> None:
    with pytest.raises(TooLarge, match="suspiciously tight"):
        packages.take_in(zipped({"train.py": TRAIN, "zeros": bytes(64 * 2**20)}))


def test_file_that_is_also_a_folder_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="both a file and a folder"):
        packages.take_in(zipped({"train.py": TRAIN, "a": "x", "a/b": "y"}))


def test_what_is_no_zip_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="not a readable zip"):
        packages.take_in(io.BytesIO(b"no zip"))


def test_folder_named_data_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="'data'"):
        packages.take_in(zipped({"train.py": TRAIN, "data/x.csv": "1"}))


def test_same_files_have_the_same_digest_however_they_were_zipped() -> None:
    flat = zipped({"train.py": TRAIN, "lib/a.py": "1"})
    in_folder = zipped({"mine/lib/a.py": "1", "mine/train.py": TRAIN})

    assert packages.take_in(flat).digest == packages.take_in(in_folder).digest


@pytest.mark.parametrize(
    "line",
    [
        "-r /etc/passwd",
        "--index-url http://elsewhere.example",
        "-e .",
        "./local",
        "/etc/passwd",
        "evil @ file:///etc/passwd",
        "evil @ http://elsewhere.example/evil.whl",
    ],
)
def test_requirement_that_reads_what_it_should_not_is_refused(line: str) -> None:
    with pytest.raises(InvalidParameter, match=r"requirements\.txt, line 2"):
        environments.lock(f"# ours\n{line}\n")


def test_requirement_that_does_not_exist_is_refused_at_upload() -> None:
    with pytest.raises(InvalidParameter, match="cannot be resolved"):
        environments.lock("six==0.0.0.dev987654")


def test_lock_holds_a_hash_for_every_file_and_builds_a_read_only_environment() -> None:
    lock = environments.lock("six>=1.16")

    environment = environments.ensure(lock)

    assert "--hash=sha256:" in lock
    assert environments.ensure(lock) == environment
    module = next(environment.rglob("six.py"))
    assert module.stat().st_mode & 0o222 == 0


@pytest.mark.django_db
def test_up_15_uploads_are_major_versions(package: Package, trainer: User) -> None:
    second = runners.upload_package(package, zipped_package(), principal=trainer)

    assert second.number == "2.0"
    assert runners.get_package_version(package).number == "2.0"
    assert runners.get_package_version(package, "1.0").number == "1.0"


def train_once(run: Run) -> PackageVersion:
    """Allocate a number as the finalizer does."""
    intake = packages.take_in(zipped_package())
    return lifecycle._add_trained_version(run, intake)


@pytest.mark.django_db
def test_up_15_numbers_go_from_9_to_10(pipeline: Pipeline) -> None:
    runs = [runners.start_run(pipeline, principal=pipeline.owner) for _ in range(11)]

    numbers = [train_once(run).number for run in runs]

    assert numbers == [f"1.{minor}" for minor in range(1, 12)]
    newest = pipeline.package.versions.first()
    assert newest.number == "1.11"


@pytest.mark.django_db(transaction=True)
def test_up_15_concurrent_runs_get_distinct_numbers(pipeline: Pipeline) -> None:
    runs = [runners.start_run(pipeline, principal=pipeline.owner) for _ in range(8)]
    runs = list(lifecycle.rows().filter(pk__in=[run.pk for run in runs]))
    barrier = threading.Barrier(len(runs))
    intake = packages.take_in(zipped_package())

    def train(run: Run) -> None:
        from django.db import transaction

        barrier.wait()
        with transaction.atomic():
            lifecycle._add_trained_version(run, intake)
        connection.close()

    threads = [threading.Thread(target=train, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    minors = pipeline.package.versions.order_by("minor").values_list("minor", flat=True)
    assert list(minors) == list(range(9))


@pytest.mark.django_db
def test_only_the_owner_uploads_and_a_stranger_learns_nothing(
    package: Package,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
) -> None:
    use(grantee, "create_pipeline")

    assert runners.get_package(package.full_name, principal=grantee) == package
    with pytest.raises(PermissionDenied, match="Only owner, its owner, uploads"):
        runners.upload_package(package, zipped_package(), principal=grantee)
    with pytest.raises(NotFound):
        runners.get_package(package.full_name, principal=stranger)
    with pytest.raises(NotFound):
        runners.upload_package(package, zipped_package(), principal=stranger)


@pytest.mark.django_db
def test_package_needs_create_pipeline_and_a_free_name(
    package: Package, trainer: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)

    with pytest.raises(AlreadyExists):
        runners.create_package("prod.fraud.Tree", principal=trainer)
    with pytest.raises(PermissionDenied, match="CREATE PIPELINE"):
        runners.create_package("prod.fraud.other", principal=grantee)


@pytest.mark.django_db
def test_changed_bytes_of_a_package_are_noticed(package: Package, tmp_path) -> None:
    version = runners.get_package_version(package)
    stored = packages.path_of(version.digest)
    stored.chmod(0o644)
    stored.write_bytes(b"other")

    with pytest.raises(DomainError, match="changed on disk"):
        packages.check_out(version, tmp_path / "x")
