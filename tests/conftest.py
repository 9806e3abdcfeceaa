"""Fixtures named by role: the owner owns, the grantee is granted, the stranger is not."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.backends.signals import connection_created
from django.test import Client
from mlflow.store.db.base_sql_model import Base
from pytest_django.plugin import DjangoDbBlocker

from access import services as access
from access.models import User
from access.privileges import Privilege
from greenlight.celery import app
from registry import services as registry
from registry.models import Catalog, ModelVersion, RegisteredModel, Schema
from tests.events.attacker import without_triggers
from tests.factories import UserFactory
from tests.openapi import assert_documented
from tests.s3 import CREDENTIALS, s3_server


@pytest.fixture(scope="session", autouse=True)
def _careless_sqlite() -> None:
    """Do not wait for the disk: what a test writes need not survive a power cut."""

    def relax(connection: BaseDatabaseWrapper, **_: object) -> None:
        if connection.vendor == "sqlite":
            connection.cursor().execute("PRAGMA synchronous = OFF")

    connection_created.connect(relax, weak=False)


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """End the sessions that threads left open, so that the database can be dropped."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(scope="session", autouse=True)
def _log_can_be_emptied() -> Iterator[None]:
    """Let the flush after a test that commits get round the append-only triggers."""
    flush = BaseDatabaseOperations.execute_sql_flush

    def flush_all(self: BaseDatabaseOperations, sql_list: list[str]) -> None:
        with without_triggers():
            flush(self, sql_list)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", flush_all)
        yield


@pytest.fixture(scope="session", autouse=True)
def _doorbell_in_memory() -> None:
    """Ring into memory, unless the run names a broker; nobody listens here."""
    if "GREENLIGHT_BROKER_URL" not in os.environ:
        app.conf.broker_url = "memory://"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, settings: LazySettings) -> None:
    """Give every test its own directories and a broker that nobody polls."""
    settings.HOME = tmp_path
    settings.KEYS_DIR = tmp_path / "keys"
    settings.ARTIFACTS = str(tmp_path / "artifacts")
    settings.TRACKING_ARTIFACTS = str(tmp_path / "tracking")
    settings.ARTIFACTS_CACHE = str(tmp_path / "cache")
    settings.RUNS_DIR = tmp_path / "runs"
    settings.GATEWAY_DIR = tmp_path / "gateway"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def object_storage() -> Iterator[fsspec.AbstractFileSystem]:
    """Run a real S3 server; the AWS variables name it until the end of the session."""
    with s3_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        yield fsspec.filesystem("s3", use_listings_cache=False)


@pytest.fixture
def bucket(
    object_storage: fsspec.AbstractFileSystem, settings: LazySettings
) -> fsspec.AbstractFileSystem:
    """Keep all bytes in a bucket of its own on a real S3 server."""
    name = f"greenlight-{uuid.uuid4().hex}"
    object_storage.mkdir(name)
    settings.ARTIFACTS = f"s3://{name}/governed"
    settings.TRACKING_ARTIFACTS = f"s3://{name}/tracking"
    return object_storage


@pytest.fixture(autouse=True)
def _empty_mlflow_tables(
    request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Empty MLflow's tables after a test that commits; Django flushes only ours."""
    yield
    if not _commits(request):
        return
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name != "experiments":
                cursor.execute(f'DELETE FROM "{table.name}"')
        cursor.execute("DELETE FROM experiments WHERE experiment_id <> 0")


def _commits(request: pytest.FixtureRequest) -> bool:
    marker = request.node.get_closest_marker("django_db")
    asked = {"transactional_db", "live_server"} & set(request.fixturenames)
    return bool(asked) or bool(marker and marker.kwargs.get("transaction"))


@pytest.fixture
def admin(db: None) -> User:
    return UserFactory(username="admin", is_superuser=True)


@pytest.fixture
def owner(db: None) -> User:
    return UserFactory(username="owner")


@pytest.fixture
def approver(db: None) -> User:
    return UserFactory(username="approver")


@pytest.fixture
def grantee(db: None) -> User:
    return UserFactory(username="grantee")


@pytest.fixture
def stranger(db: None) -> User:
    return UserFactory(username="stranger")


@pytest.fixture
def catalog(admin: User) -> Catalog:
    return registry.create_catalog("prod", principal=admin)


@pytest.fixture
def schema(catalog: Catalog, admin: User) -> Schema:
    return registry.create_schema("prod.fraud", principal=admin)


@pytest.fixture
def use(schema: Schema, admin: User) -> Callable[..., None]:
    """Let a principal pass the borders of prod and prod.fraud, with more if named."""

    def let_in(principal: User, *more: Privilege) -> None:
        access.grant(schema.catalog, Privilege.USE_CATALOG, principal, principal=admin)
        for privilege in (Privilege.USE_SCHEMA, *more):
            access.grant(schema, privilege, principal, principal=admin)

    return let_in


@pytest.fixture
def model(owner: User, use: Callable[..., None]) -> RegisteredModel:
    """prod.fraud.scorer, created and owned by `owner`."""
    use(owner, Privilege.CREATE_MODEL)
    return registry.create_model("prod.fraud.scorer", principal=owner)


@pytest.fixture
def make_version(tmp_path: Path) -> Callable[..., ModelVersion]:
    """Register a READY version of a model from a tiny valid model directory."""

    def make(
        model: RegisteredModel, *, content: str = "1", principal: User | None = None
    ) -> ModelVersion:
        directory = tmp_path / f"source-{model.pk.hex}-{content}"
        directory.mkdir(exist_ok=True)
        (directory / "MLmodel").write_text(MLMODEL)
        (directory / "weights.json").write_text(content)
        return registry.create_version_from_directory(
            model, directory, principal=principal or model.owner
        )

    return make


MLMODEL = """\
flavors:
  python_function:
    loader_module: mlflow.sklearn
    env: {}
signature:
  inputs: '[{"type": "double", "name": "x", "required": true}]'
  outputs: '[{"type": "double", "required": true}]'
"""


@pytest.fixture
def version(
    model: RegisteredModel, make_version: Callable[..., ModelVersion]
) -> ModelVersion:
    return make_version(model)


@pytest.fixture
def call(client: Client) -> Callable[..., Any]:
    """Call our REST as a principal, by a real token: method, path, JSON body.

    Every answer is held against the OpenAPI document.
    """

    def send(
        principal: User, method: str, path: str, body: dict[str, Any] | None = None
    ) -> Any:
        token = access.issue_token(principal, "t", principal=principal)
        answered = client.generic(
            method.upper(),
            f"/api/v1/{path}",
            b"" if body is None else json.dumps(body).encode(),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"},
        )
        assert_documented(method, f"/api/v1/{path}", answered)
        return answered

    return send
