"""What the REST of the registry answers."""

from __future__ import annotations

import datetime as dt
from typing import Any, NotRequired, TypedDict


class SchemaJson(TypedDict):
    """A schema, the second level of a name."""

    id: str
    name: str
    full_name: str
    comment: str
    owner: str
    created_at: dt.datetime


class CatalogJson(SchemaJson):
    """A catalog, the first level of a name."""

    delegated_versions: bool
    require_signature: bool
    code_policy: str


class CatalogsJson(TypedDict):
    """A page of the catalogs that one sees, by name."""

    catalogs: list[CatalogJson]
    next_page_token: NotRequired[str]


class SchemasJson(TypedDict):
    """A page of the schemas that one sees, by full name."""

    schemas: list[SchemaJson]
    next_page_token: NotRequired[str]


class ModelJson(SchemaJson):
    """A registered model; to who only browses, nothing of its versions is shown."""

    browse_only: bool


class ModelsJson(TypedDict):
    """A page of the models that one sees, by full name."""

    models: list[ModelJson]
    next_page_token: NotRequired[str]


class FileJson(TypedDict):
    """A file of a version."""

    path: str
    size: int
    sha256: str


class VersionJson(TypedDict):
    """A version: immutable once `ready`; the digest names its bytes."""

    id: str
    model: str
    version: int
    status: str
    status_message: str
    comment: str
    source: str
    mlflow_run_id: str
    digest: str
    size_bytes: int
    taken_bytes: int
    created_by: str
    created_at: dt.datetime
    tampered_at: dt.datetime | None


class VersionDetailJson(VersionJson):
    """A version with its files, signature, tags and aliases."""

    manifest: list[FileJson]
    signature: Any
    code_findings: list[dict[str, str]] | None
    tags: dict[str, str]
    aliases: list[str]


class VersionsJson(TypedDict):
    """A page of the versions of a model, the newest first."""

    versions: list[VersionJson]
    next_page_token: NotRequired[str]


class AliasJson(TypedDict):
    """Where an alias points."""

    alias: str
    version: int | None
    digest: str | None
    generation: int
    set_at: dt.datetime
    set_by: str


class AliasesJson(TypedDict):
    """The aliases of a model."""

    aliases: list[AliasJson]


class ModelDetailJson(ModelJson):
    """A model with its tags, its hundred newest versions and its aliases."""

    tags: dict[str, str]
    versions: list[VersionJson]
    aliases: list[AliasJson]


class TagsJson(TypedDict):
    """The tags of a model or a version."""

    tags: dict[str, str]


class NodeJson(TypedDict):
    """A thing in a lineage; one that the caller may not see has no name."""

    id: str
    kind: str
    name: str
    is_hidden: bool
    details: dict[str, Any]


class EdgeJson(TypedDict):
    """From what was first to what came of it."""

    source: str
    target: str
    relation: str


class LineageJson(TypedDict):
    """What led to the version `root`, and what came of it."""

    root: str
    nodes: list[NodeJson]
    edges: list[EdgeJson]
    is_complete: bool


class ConsumerJson(TypedDict):
    """Who read the bytes of a version, with which kind of client, how often."""

    principal: str
    client: str
    loads: int
    first_at: dt.datetime
    last_at: dt.datetime


class ConsumersJson(TypedDict):
    """The consumers of a version, the latest first."""

    consumers: list[ConsumerJson]
