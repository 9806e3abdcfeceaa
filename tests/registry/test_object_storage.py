"""The governed store on a real S3 server: same rules, same digests as on a disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from core.errors import InvalidParameter, Unsupported
from registry import artifacts
from registry import services as registry
from registry.artifacts import store
from registry.artifacts.trees import Tree, checked, tree_at
from registry.models import ModelVersion, RegisteredModel

MIB = 2**20


def write(tree: Tree, path: str, content: bytes) -> None:
    with tree.writer(path, len(content)) as writer:
        writer.write(content)


def read(tree: Tree, path: str) -> bytes:
    with tree.open(path) as reader:
        return reader.read()


@pytest.fixture(params=["disk", "s3"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    if request.param == "s3":
        request.getfixturevalue("bucket")
        return store()
    return tree_at(str(tmp_path / "tree"))


def test_both_trees_list_and_read_the_same(tree: Tree) -> None:
    for path in ("a/b/c.txt", "a.b", "z", "a/empty"):
        write(tree, path, path.encode() if path != "a/empty" else b"")
    assert [entry.path for entry in tree.files()] == [
        "a/b/c.txt",
        "a/empty",
        "a.b",
        "z",
    ]
    children = tree.children("a")
    assert children is not None
    assert [(e.path, e.is_dir) for e in children] == [("b", True), ("empty", False)]
    assert read(tree, "a/b/c.txt") == b"a/b/c.txt"
    assert read(tree, "a/empty") == b""
    assert tree.children("a.b") is None
    assert tree.children("nothing") is None


def test_big_file_goes_through_in_parts(tree: Tree) -> None:
    content = bytes(range(256)) * (17 * MIB // 256)
    write(tree, "big", content)
    assert read(tree, "big") == content


def test_file_that_was_not_finished_does_not_appear(tree: Tree) -> None:
    def cut_off(size: int) -> None:
        with tree.writer("partial", size) as writer:
            writer.write(b"x" * size)
            raise ConnectionError

    for size in (9 * MIB, 3):
        with pytest.raises(ConnectionError):
            cut_off(size)
    assert tree.files() == []


def test_removed_tree_is_gone(tree: Tree) -> None:
    write(tree, "a/b", b"1")
    tree.seal()
    tree.remove()
    assert not tree.exists()
    tree.remove()


LEAVING = ["../x", "a/../x", "/x", "a//x", "%2e%2e/x", "%252e%252e/x", "a%2Fb", "."]
TOO_LONG = ["x" * 256, "/".join(["x" * 200] * 6)]


@pytest.mark.parametrize("path", [*LEAVING, "a\\b", *TOO_LONG])
def test_path_that_leaves_its_directory_is_refused(path: str) -> None:
    with pytest.raises(InvalidParameter, match="path"):
        checked(path)


def test_trees_refuse_paths_that_leave_them(tree: Tree) -> None:
    with pytest.raises(InvalidParameter):
        tree.open("../x")
    with pytest.raises(InvalidParameter):
        write(tree, "../x", b"1")
    with pytest.raises(InvalidParameter):
        tree.child("..")


def test_version_on_s3_has_the_digest_that_it_has_on_a_disk(
    model: RegisteredModel,
    make_version: Callable[..., ModelVersion],
    request: pytest.FixtureRequest,
) -> None:
    on_disk = make_version(model)
    bucket = request.getfixturevalue("bucket")
    version = make_version(model)
    assert version.status == "ready", version.status_message
    assert version.digest == on_disk.digest
    assert len(bucket.find(artifacts.stored(version).location)) == 2
    assert artifacts.verify(version) == []


def test_copy_on_s3_has_the_same_bytes(
    bucket: object, version: ModelVersion, owner: User
) -> None:
    other = registry.create_model("prod.fraud.copy", principal=owner)
    copy = registry.create_version(
        other, f"models:/{version.full_name}", principal=owner
    )
    assert copy.digest == version.digest
    assert artifacts.verify(copy) == []
    assert artifacts.stored(copy).location != artifacts.stored(version).location


def test_changed_object_is_found_and_not_copied(
    bucket: object, version: ModelVersion, owner: User
) -> None:
    write(artifacts.stored(version), "weights.json", b"2")
    write(artifacts.stored(version), "more.json", b"2")
    assert artifacts.verify(version) == [
        "more.json was added",
        "weights.json was changed",
    ]
    copy = registry.create_version(
        version.model, f"models:/{version.full_name}", principal=owner
    )
    assert copy.status == "failed"
    assert "not those that were registered" in copy.status_message


def test_local_copy_is_verified_and_mended(
    bucket: object, version: ModelVersion
) -> None:
    assert artifacts.prepare(version) == []
    weights = artifacts.local_directory(version) / "weights.json"
    assert weights.read_text() == "1"
    weights.chmod(0o644)
    weights.write_text("2")
    assert artifacts.prepare(version) == []
    assert weights.read_text() == "1"


def test_local_copy_of_changed_bytes_is_not_made(
    bucket: object, version: ModelVersion
) -> None:
    write(artifacts.stored(version), "weights.json", b"2")
    assert artifacts.prepare(version) == ["weights.json was changed"]
    assert not artifacts.local_directory(version).exists()


def test_run_files_and_version_files_over_http(
    bucket: object,
    version: ModelVersion,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
) -> None:
    use(grantee, Privilege.EXECUTE)
    place = f"/api/2.0/mlflow-artifacts/artifacts/greenlight/{version.full_name}"
    seen = {}
    for user in (owner, grantee, stranger):
        token = access.issue_token(user, "test", principal=user)
        answer = Client().get(
            f"{place}/weights.json", headers={"Authorization": f"Bearer {token}"}
        )
        seen[user.username] = (answer.status_code, answer.getvalue()[:1])
    assert seen["owner"] == seen["grantee"] == (200, b"1")
    assert seen["stranger"][0] == 404


def test_url_without_a_driver_says_what_to_install(settings: LazySettings) -> None:
    settings.ARTIFACTS = "gs://bucket/models"
    with pytest.raises(Unsupported, match="pip install gcsfs"):
        store()
    settings.ARTIFACTS = "ftp://host/models"
    with pytest.raises(Unsupported, match=r"s3://, gs://"):
        store()


def test_storage_that_is_away_leaves_the_version_pending(
    model: RegisteredModel,
    make_version: Callable[..., ModelVersion],
    settings: LazySettings,
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("in the way")
    settings.ARTIFACTS = str(tmp_path / "file" / "store")
    with pytest.raises(OSError, match="file"):
        make_version(model)
    assert model.versions.get().status == "pending"
