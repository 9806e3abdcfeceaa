"""Catalogs, schemas, models, versions and aliases: the governance rows."""

from __future__ import annotations

from registry.models.records import (
    IN_PLACE,
    Adoption,
    AliasMove,
    ClientKind,
    FormerName,
    VersionLoad,
)
from registry.models.registered import (
    Alias,
    Catalog,
    CatalogGrant,
    CodePolicy,
    Experiment,
    ExperimentGrant,
    Metastore,
    MetastoreGrant,
    ModelGrant,
    ModelVersion,
    RegisteredModel,
    Schema,
    SchemaGrant,
    VersionStatus,
)

__all__ = [
    "IN_PLACE",
    "Adoption",
    "Alias",
    "AliasMove",
    "Catalog",
    "CatalogGrant",
    "ClientKind",
    "CodePolicy",
    "Experiment",
    "ExperimentGrant",
    "FormerName",
    "Metastore",
    "MetastoreGrant",
    "ModelGrant",
    "ModelVersion",
    "RegisteredModel",
    "Schema",
    "SchemaGrant",
    "VersionLoad",
    "VersionStatus",
]
