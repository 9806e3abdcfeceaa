"""The artifact proxy: what may be written, read and listed, by whom, by what path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client

from access.models import User
from access.privileges import Privilege
from registry import artifacts
from registry import services as registry
from registry.models import ModelVersion

Headers = Callable[[User], dict[str, str]]
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
def experiment(owner: User, client: Client, bearer: Headers) -> str:
    url = "/api/2.0/mlflow/experiments/create"
    body = {"name": "mine"}
    answer = client.post(url, body, "application/json", headers=bearer(owner))
    return str(answer.json()["experiment_id"])


@pytest.fixture
def put(client: Client, bearer: Headers) -> Callable[..., int]:
    def send(path: str, user: User, body: bytes = b"new") -> int:
        url = f"{FILES}/{path}"
        kind = "application/octet-stream"
        return client.put(url, body, kind, headers=bearer(user)).status_code

    return send


def test_owner_of_an_experiment_writes_reads_and_lists(
    experiment: str, owner: User, client: Client, bearer: Headers, put
) -> None:
    assert put(f"{experiment}/run/artifacts/a b.txt", owner) == 200
    headers = bearer(owner)
    answer = client.get(f"{FILES}/{experiment}/run/artifacts/a b.txt", headers=headers)
    assert answer.getvalue() == b"new"
    listing = client.get(f"{FILES}?path={experiment}/run/artifacts", headers=headers)
    assert listing.json() == {
        "files": [{"path": "a b.txt", "is_dir": False, "file_size": 3}]
    }


def test_stranger_neither_writes_nor_reads_nor_lists(
    experiment: str, owner: User, stranger: User, client: Client, bearer: Headers, put
) -> None:
    put(f"{experiment}/run/a.txt", owner)
    assert put(f"{experiment}/run/a.txt", stranger, b"bad") in {403, 404}
    headers = bearer(stranger)
    for url in (f"{FILES}/{experiment}/run/a.txt", f"{FILES}?path={experiment}/run"):
        assert client.get(url, headers=headers).status_code in {403, 404}
    assert read(experiment) == {"run/a.txt": b"new"}


LEAVING = [
    "../../x",
    "run/../../x",
    "%2e%2e/%2e%2e/x",
    "run/%2e%2e/%2e%2e/x",
    "run/%252e%252e/x",
    "run/%25252e%25252e/x",
    "run%2f..%2f..%2fx",
    "run/%5c..%5cx",
    "run//x",
    "run/" + "x" * 256,
    "run/a%00b",
]


@pytest.mark.parametrize("path", LEAVING)
def test_path_that_leaves_is_refused(
    experiment: str, owner: User, client: Client, bearer: Headers, put, path: str
) -> None:
    assert 400 <= put(f"{experiment}/{path}", owner) < 500
    headers = bearer(owner)
    assert (
        400
        <= client.get(f"{FILES}/{experiment}/{path}", headers=headers).status_code
        < 500
    )
    listing = client.get(f"{FILES}?path={experiment}/{path}", headers=headers)
    assert 400 <= listing.status_code < 500 or listing.json() == {}
    assert read(experiment) == {}


@pytest.mark.parametrize(
    "path",
    ["run/a.txt/below", "run", "", "run/"],
    ids=["below", "dir", "none", "slash"],
)
def test_upload_onto_something_else_is_refused(
    experiment: str, owner: User, put, path: str
) -> None:
    put(f"{experiment}/run/a.txt", owner)
    assert 400 <= put(f"{experiment}/{path}", owner, b"other") < 500
    assert read(experiment) == {"run/a.txt": b"new"}


def test_link_in_the_tracking_directory_is_not_followed(
    experiment: str,
    owner: User,
    client: Client,
    bearer: Headers,
    put,
    settings: LazySettings,
) -> None:
    put(f"{experiment}/run/a.txt", owner)
    (Path(settings.TRACKING_ARTIFACTS) / experiment / "out").symlink_to("/etc")
    headers = bearer(owner)
    answer = client.get(f"{FILES}/{experiment}/out/passwd", headers=headers)
    assert answer.status_code == 400
    assert put(f"{experiment}/out/x", owner) == 400


@pytest.mark.parametrize("method", ["put", "delete", "post", "patch"])
def test_nobody_changes_the_files_of_a_version(
    version: ModelVersion,
    owner: User,
    grantee: User,
    stranger: User,
    admin: User,
    use: Callable[..., None],
    client: Client,
    bearer: Headers,
    method: str,
) -> None:
    use(grantee, Privilege.EXECUTE)
    for user in (owner, grantee, stranger, admin):
        for path in ("weights.json", "new.json", "", "%2e%2e/x"):
            answer = getattr(client, method)(
                f"{FILES}/greenlight/{version.full_name}/{path}",
                b"2",
                "application/octet-stream",
                headers=bearer(user),
            )
            assert 400 <= answer.status_code < 500
    assert artifacts.verify(version) == []


def test_version_is_listed_from_its_manifest(
    version: ModelVersion,
    grantee: User,
    use: Callable[..., None],
    client: Client,
    bearer: Headers,
) -> None:
    use(grantee, Privilege.EXECUTE)
    place = f"greenlight/{version.full_name}"
    listing = client.get(f"{FILES}?path={place}", headers=bearer(grantee)).json()
    assert [entry["path"] for entry in listing["files"]] == ["MLmodel", "weights.json"]
    for path in (f"{place}/weights.json", f"{place}/nothing"):
        assert client.get(f"{FILES}?path={path}", headers=bearer(grantee)).json() == {}


def test_version_whose_bytes_were_changed_loads_no_more(
    version: ModelVersion, owner: User, client: Client, bearer: Headers
) -> None:
    registry.report_tampering(version, ["weights.json was changed"])
    url = f"{FILES}/greenlight/{version.full_name}/weights.json"
    assert client.get(url, headers=bearer(owner)).status_code == 403


def read(experiment: str) -> dict[str, bytes]:
    tree = artifacts.tracking()
    if not tree.exists():
        return {}
    inside = tree.child(experiment)
    found = {}
    for entry in inside.files():
        with inside.open(entry.path) as reader:
            found[entry.path] = reader.read()
    return found
