"""Registries in a database: another one, read-only, or Greenlight's own."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from django.conf import settings
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _get_latest_schema_revision, _get_schema_version
from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlRegisteredModel,
)
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.tracking.dbmodels.models import SqlLoggedModel, SqlRun
from sqlalchemy.orm import subqueryload
from sqlalchemy.pool import NullPool

from registry.adoption.origins import (
    OriginError,
    OriginModel,
    OriginVersion,
    model_of,
    version_of,
    without_credentials,
)
from registry.models import IN_PLACE, Adoption, ModelVersion, RegisteredModel
from registry.store import store

_LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})")
_VERSION = re.compile(r"models:/(.+)/(\d+)")
_RUN = re.compile(r"runs:/([0-9a-f]{32})(?:/(.+))?")
_CHUNK = 200


class StoreOrigin:
    """Another MLflow database, read through MLflow's own store."""

    is_server = False

    def __init__(self, url: str, artifacts: str = "") -> None:
        self.address = without_credentials(url)
        self.artifacts = artifacts
        self._store = _open(url)

    def models(self) -> Iterator[OriginModel]:
        """Yield the models in the order of their names, prompts among them."""
        with self._store.ManagedSessionMaker() as session:
            rows = session.query(SqlRegisteredModel.name)
            names = [name for (name,) in rows.order_by(SqlRegisteredModel.name)]
        for start in range(0, len(names), _CHUNK):
            yield from self._read(names[start : start + _CHUNK])

    def locate(self, version: OriginVersion) -> str:
        """Return the URI of a version's files, `runs:/` and `models:/` resolved."""
        uri = version.location or version.source
        if match := _LOGGED_MODEL.fullmatch(uri):
            return self._one(SqlLoggedModel.artifact_location, model_id=match[1])
        if match := _RUN.fullmatch(uri):
            root = self._one(SqlRun.artifact_uri, run_uuid=match[1])
            return f"{root.rstrip('/')}/{match[2] or ''}".rstrip("/")
        if match := _VERSION.fullmatch(uri):
            return self._one(
                SqlModelVersion.storage_location, name=match[1], version=int(match[2])
            )
        return uri

    def _one(self, column: Any, **key: Any) -> str:
        with self._store.ManagedSessionMaker() as session:
            found = session.query(column).filter_by(**key).first()
        if found is None or not found[0]:
            named = " ".join(str(part) for part in key.values())
            raise OriginError(f"{column.class_.__tablename__} has no {named}")
        return str(found[0])

    def _read(self, names: Sequence[str]) -> list[OriginModel]:
        with self._store.ManagedSessionMaker() as session:
            tags = subqueryload(SqlModelVersion.model_version_tags)
            rows = session.query(SqlModelVersion).options(tags)
            versions: dict[str, list[OriginVersion]] = defaultdict(list)
            highest: dict[str, int] = defaultdict(int)
            for row in rows.filter(SqlModelVersion.name.in_(names)):
                highest[row.name] = max(highest[row.name], row.version)
                if row.current_stage != STAGE_DELETED_INTERNAL:
                    entity = row.to_mlflow_entity()
                    found = version_of(entity, row.storage_location or "")
                    versions[row.name].append(found)
            options = self._store._get_eager_registered_model_query_options()
            models = session.query(SqlRegisteredModel).options(*options)
            chosen = models.filter(SqlRegisteredModel.name.in_(names))
            return [
                model_of(
                    row.to_mlflow_entity(preloaded_latest_versions=[]),
                    versions[row.name],
                    highest[row.name],
                )
                for row in chosen.order_by(SqlRegisteredModel.name)
            ]


class InPlaceOrigin(StoreOrigin):
    """The rows that MLflow has written into Greenlight's own database."""

    def __init__(self, artifacts: str = "") -> None:
        self.address = IN_PLACE
        self.artifacts = artifacts or settings.TRACKING_ARTIFACTS
        self._store = store()

    def models(self) -> Iterator[OriginModel]:
        """Yield the models that nobody owns yet, and those begun to be taken over."""
        governed = set(RegisteredModel.objects.values_list("full_name", flat=True))
        begun = Adoption.objects.filter(origin=IN_PLACE).select_related("model")
        named = {one.model.full_name: one.origin_name for one in begun}
        for model in super().models():
            if model.name not in governed:
                yield model
            elif model.name in named:
                yield _as_it_was(model, named[model.name])


def _as_it_was(model: OriginModel, name: str) -> OriginModel:
    """Return a model that has its new name already under its old one."""
    taken = ModelVersion.objects.filter(model__full_name=model.name)
    aliases = dict(model.aliases)
    for number, lineage in taken.values_list("number", "lineage"):
        aliases |= dict.fromkeys(lineage.get("adopted_aliases", []), number)
    return replace(model, name=name, aliases=aliases)


class _ReadOnlyStore(SqlAlchemyStore):
    """MLflow's registry store on a connection that cannot write."""

    @classmethod
    def _get_or_create_engine(cls, db_uri: str) -> sqlalchemy.engine.Engine:
        return _read_only_engine(db_uri)


def _open(url: str) -> SqlAlchemyStore:
    if not url.startswith(("sqlite:///", "postgresql", "postgres://")):
        raise OriginError(
            f"{without_credentials(url)} is neither sqlite:///… nor postgresql://…; "
            "for another kind of store, start `mlflow server` on it and give its URL."
        )
    try:
        opened = _read_only_engine(url)
        _check_schema(opened, url)
        return _ReadOnlyStore(_with_driver(url))
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip()
        raise OriginError(
            f"{without_credentials(url)} cannot be read: {reason}"
        ) from error
    except MlflowException as error:
        raise OriginError(f"{without_credentials(url)}: {error.message}") from error


def _check_schema(opened: sqlalchemy.engine.Engine, url: str) -> None:
    """Make sure that the tables are those of the MLflow that is installed here."""
    address = without_credentials(url)
    tables = set(sqlalchemy.inspect(opened).get_table_names())
    if SqlRegisteredModel.__tablename__ not in tables:
        raise OriginError(f"{address} holds no MLflow registry.")
    found, wanted = _get_schema_version(opened), _get_latest_schema_revision()
    if found == wanted:
        return
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.version import VERSION

    script = ScriptDirectory.from_config(_get_alembic_config(""))
    known = {revision.revision for revision in script.walk_revisions()}
    if found in known:
        raise OriginError(
            f"{address} has the tables of an older MLflow (schema {found}, needed is "
            f"{wanted}). Take a backup, then run `mlflow db upgrade` of MLflow "
            f"{VERSION} on it, or on a copy of it."
        )
    raise OriginError(
        f"{address} has the tables of a newer MLflow than {VERSION} (schema {found}, "
        f"needed is {wanted}). Give the URL of its server instead."
    )


def _read_only_engine(url: str) -> sqlalchemy.engine.Engine:
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///")).resolve()
        if not path.is_file():
            raise OriginError(f"There is no database {path}.")
        read_only = f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true"
        return sqlalchemy.create_engine(read_only, poolclass=NullPool)
    options = {"options": "-c default_transaction_read_only=on"}
    return sqlalchemy.create_engine(
        _with_driver(url), connect_args=options, poolclass=NullPool
    )


def _with_driver(url: str) -> str:
    """Name the PostgreSQL driver that is installed here."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url)


def is_own_database(url: str) -> bool:
    """Tell whether a URL names the database that Greenlight itself runs on."""
    own = settings.DATABASES["default"]
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///")).resolve()
        return path == Path(own["NAME"]).resolve()
    given = sqlalchemy.engine.make_url(_with_driver(url))
    return (given.host, str(given.port or ""), given.database) == (
        own.get("HOST"),
        own.get("PORT"),
        own["NAME"],
    )
