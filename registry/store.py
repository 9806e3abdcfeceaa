"""MLflow's own SQL stores, running inside Django's transaction.

Their SQLAlchemy engine opens no connection: it borrows Django's. So a row of
MLflow's, a governance row, an event and an alias commit or roll back together.
See docs/adr/0002-mlflow-store-in-djangos-transaction.md.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import sqlalchemy
from django.db import connection, transaction
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, TEMPORARILY_UNAVAILABLE
from mlflow.store.db.utils import _initialize_tables
from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlRegisteredModel,
)
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.tracking.sqlalchemy_store import (
    SqlAlchemyStore as SqlAlchemyTrackingStore,
)
from mlflow.utils.time import get_current_time_millis
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from registry.experiment_scope import visible_experiments
from registry.mlflow_indexes import create_indexes

# where MLflow's rows say that the files of versions are; it is a virtual place
VERSION_FILES = "mlflow-artifacts:/greenlight"

_local = threading.local()
_Store = TypeVar("_Store", bound=Any)


class BorrowedConnection:
    """Django's connection, lent to SQLAlchemy: it cannot commit or close it."""

    def __init__(self, lent: Any) -> None:
        self._lent = lent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lent, name)

    def commit(self) -> None:
        """Leave the commit to Django's outermost block."""

    def close(self) -> None:
        """Leave the connection open; it is Django's."""

    def rollback(self) -> None:
        """Roll back to where the present session began, and no further."""
        if savepoint := getattr(_local, "savepoint", None):
            transaction.savepoint_rollback(savepoint)


def _borrow() -> BorrowedConnection:
    connection.ensure_connection()
    return BorrowedConnection(connection.connection)


@cache
def engine() -> sqlalchemy.engine.Engine:
    """Return the engine that borrows the calling thread's Django connection."""
    options: dict[str, Any] = {"creator": _borrow, "poolclass": NullPool}
    options["pool_reset_on_return"] = None
    if connection.vendor == "postgresql":
        options["use_native_hstore"] = False
    return sqlalchemy.create_engine(_url(), **options)


def _url() -> str:
    return "postgresql+psycopg://" if connection.vendor == "postgresql" else "sqlite://"


@contextmanager
def managed_session(read_only: bool = True) -> Iterator[Session]:
    """Give MLflow's stores a session inside Django's transaction.

    A write opens a savepoint, or the transaction itself when there is none. The
    parameter is MLflow's own: its stores pass `read_only=False` for writes.
    """
    if read_only and not connection.in_atomic_block:
        with _session() as session:
            yield session
        return
    with transaction.atomic():
        outer = getattr(_local, "savepoint", None)
        _local.savepoint = transaction.savepoint()
        try:
            with _session() as session:
                yield session
        finally:
            _local.savepoint = outer


@contextmanager
def _session() -> Iterator[Session]:
    with Session(engine()) as session, _case_sensitive_like():
        try:
            yield session
            session.commit()
        except MlflowException:
            session.rollback()
            raise
        except sqlalchemy.exc.OperationalError as error:
            session.rollback()
            raise MlflowException(
                str(error), error_code=TEMPORARILY_UNAVAILABLE
            ) from error
        except sqlalchemy.exc.SQLAlchemyError as error:
            session.rollback()
            raise MlflowException(str(error), error_code=BAD_REQUEST) from error


@contextmanager
def _case_sensitive_like() -> Iterator[None]:
    """MLflow's search expects LIKE to see case in SQLite; Django does not."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA case_sensitive_like = true")
        try:
            yield
        finally:
            cursor.execute("PRAGMA case_sensitive_like = false")


class RegistryStore(SqlAlchemyStore):
    """MLflow's registry store on Django's connection."""

    @classmethod
    def _get_or_create_engine(cls, db_uri: str) -> sqlalchemy.engine.Engine:
        return engine()

    def rename_model(self, name: str, new_name: str) -> None:
        """Rename a model; the database renames its versions, tags and aliases."""
        now = get_current_time_millis()
        with self.ManagedSessionMaker(read_only=False) as session:
            model = self._get_query(session, SqlRegisteredModel).filter_by(name=name)
            model.update({"name": new_name, "last_updated_time": now})
            versions = self._get_query(session, SqlModelVersion)
            versions.filter_by(name=new_name).update(
                {
                    "storage_location": sqlalchemy.func.replace(
                        SqlModelVersion.storage_location,
                        f"{VERSION_FILES}/{name}/",
                        f"{VERSION_FILES}/{new_name}/",
                    )
                }
            )


class TrackingStore(SqlAlchemyTrackingStore):
    """MLflow's tracking store on Django's connection."""

    @classmethod
    def _get_or_create_engine(cls, db_uri: str) -> sqlalchemy.engine.Engine:
        return engine()

    def _experiment_where_clauses(self) -> list[Any]:
        return visible_experiments()


@cache
def store() -> RegistryStore:
    """Return the registry store of this process."""
    return _on_djangos_connection(RegistryStore(_url()))


@cache
def tracking_store() -> TrackingStore:
    """Return the tracking store of this process."""
    return _on_djangos_connection(TrackingStore(_url(), "mlflow-artifacts:/"))


def _on_djangos_connection(made: _Store) -> _Store:
    made.ManagedSessionMaker = managed_session
    return made


def create_tables() -> None:
    """Create or upgrade MLflow's tables by its own migrations, and index them."""
    _initialize_tables(engine())
    create_indexes()
