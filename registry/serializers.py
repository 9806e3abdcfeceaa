"""Shapes of catalogs, schemas, models and versions on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from access.authz import is_browse_only
from access.models import User
from core.serializers import InputSerializer
from registry.lineage import Graph
from registry.listing import ModelRow
from registry.models import (
    Alias,
    Catalog,
    CodePolicy,
    ModelVersion,
    RegisteredModel,
    Schema,
)
from registry.services.loads import Consumer
from registry.services.versions import versions_of
from registry.shapes import (
    AliasJson,
    CatalogJson,
    ConsumerJson,
    EdgeJson,
    LineageJson,
    ModelDetailJson,
    ModelJson,
    NodeJson,
    SchemaJson,
    VersionDetailJson,
    VersionJson,
)
from registry.texts import comments_of, tags_of_model, tags_of_version


def _comment() -> serializers.CharField:
    return serializers.CharField(max_length=5000, allow_blank=True)


class NameSerializer(InputSerializer):
    name = serializers.CharField(max_length=256)
    comment = serializers.CharField(max_length=5000, default="", allow_blank=True)


class CommentSerializer(InputSerializer):
    comment = _comment()


class CatalogChangeSerializer(InputSerializer):
    comment = serializers.CharField(max_length=5000, default=None, allow_blank=True)
    delegated_versions = serializers.BooleanField(default=None, allow_null=True)
    require_signature = serializers.BooleanField(default=None, allow_null=True)
    code_policy = serializers.ChoiceField(
        CodePolicy.choices, default=None, allow_null=True
    )


class _Tags(serializers.DictField):
    child = serializers.CharField(max_length=5000, allow_blank=True)


class NewModelSerializer(NameSerializer):
    tags = _Tags(default=dict)


class RenameSerializer(InputSerializer):
    new_name = serializers.CharField(max_length=256)


class NewVersionSerializer(InputSerializer):
    source = serializers.CharField(max_length=1000)  # type: ignore[assignment]  # a field has an attribute of that name
    comment = serializers.CharField(max_length=5000, default="", allow_blank=True)
    run_id = serializers.RegexField(r"^[0-9a-f]{32}$", default="", allow_blank=True)
    tags = _Tags(default=dict)


class TagSerializer(InputSerializer):
    value = serializers.CharField(
        max_length=5000, allow_blank=True, trim_whitespace=False
    )


class PageSerializer(InputSerializer):
    max_results = serializers.IntegerField(default=100, min_value=1, max_value=1000)
    page_token = serializers.CharField(max_length=4096, default="", allow_blank=True)


class SchemasQuerySerializer(PageSerializer):
    catalog = serializers.CharField(max_length=255, default="", allow_blank=True)


class ModelsQuerySerializer(SchemasQuerySerializer):
    schema = serializers.CharField(max_length=511, default="", allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Add `within`, the one container that the list is narrowed to."""
        catalog, schema = attrs["catalog"], attrs["schema"]
        if schema and schema.count(".") != 1:
            raise serializers.ValidationError({"schema": "Write it as catalog.schema."})
        if schema and catalog not in ("", schema.partition(".")[0]):
            raise serializers.ValidationError(
                {"catalog": f"It is not that of the schema {schema}; leave it out."}
            )
        return {**attrs, "within": schema or catalog}


class ConsumersQuerySerializer(InputSerializer):
    since = serializers.DateTimeField(default=None)


def schema_json(row: Catalog | Schema | RegisteredModel) -> SchemaJson:
    return {
        "id": str(row.id),
        "name": row.name,
        "full_name": row.full_name,
        "comment": row.comment,
        "owner": row.owner.username,
        "created_at": row.created_at,
    }


def catalog_json(catalog: Catalog) -> CatalogJson:
    return {
        **schema_json(catalog),
        "delegated_versions": catalog.delegated_versions,
        "require_signature": catalog.require_signature,
        "code_policy": catalog.code_policy,
    }


def model_json(model: RegisteredModel, *, browse_only: bool = False) -> ModelJson:
    return {**schema_json(model), "browse_only": browse_only}


def model_row_json(row: ModelRow) -> ModelJson:
    """Render a model of a list."""
    return {
        "id": str(row.id),
        "name": row.name.rpartition(".")[2],
        "full_name": row.name,
        "comment": row.description,
        "owner": row.owner,
        "created_at": row.created_at,
        "browse_only": row.browse_only,
    }


def model_detail_json(model: RegisteredModel, principal: User) -> ModelDetailJson:
    """Render a model with its tags; with versions and aliases for who may see them."""
    browse_only = is_browse_only(principal, model)
    versions = [] if browse_only else list(versions_of(model)[:100])
    aliases = Alias.objects.filter(model=model).exclude(version=None)
    present = aliases.select_related("version", "set_by").order_by("name")
    return {
        **model_json(model, browse_only=browse_only),
        "tags": tags_of_model(model),
        "versions": versions_json(model, versions),
        "aliases": [] if browse_only else [alias_json(alias) for alias in present],
    }


def versions_json(
    model: RegisteredModel, versions: list[ModelVersion]
) -> list[VersionJson]:
    """Render versions of one model, with their comments read at once."""
    comments = comments_of(model, [version.number for version in versions])
    return [
        version_json(version, comments.get(version.number, "")) for version in versions
    ]


def version_json(version: ModelVersion, comment: str) -> VersionJson:
    return {
        "id": str(version.id),
        "model": version.model.full_name,
        "version": version.number,
        "status": version.status,
        "status_message": version.status_message,
        "comment": comment,
        "source": version.source,
        "mlflow_run_id": version.mlflow_run_id,
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "taken_bytes": version.taken_bytes,
        "created_by": version.created_by.username,
        "created_at": version.created_at,
        "tampered_at": version.tampered_at,
    }


def version_detail_json(version: ModelVersion) -> VersionDetailJson:
    """Render a version with its files, signature, tags and aliases."""
    aliases = version.aliases.order_by("name").values_list("name", flat=True)
    [rendered] = versions_json(version.model, [version])
    return {
        **rendered,
        "manifest": version.manifest,
        "signature": version.signature,
        "code_findings": version.code_findings,
        "tags": tags_of_version(version),
        "aliases": list(aliases),
    }


def alias_json(alias: Alias) -> AliasJson:
    return {
        "alias": alias.name,
        "version": alias.version.number if alias.version else None,
        "digest": alias.version.digest if alias.version else None,
        "generation": alias.generation,
        "set_at": alias.set_at,
        "set_by": alias.set_by.username,
    }


def consumer_json(consumer: Consumer) -> ConsumerJson:
    return {
        "principal": consumer.principal,
        "client": consumer.client,
        "loads": consumer.loads,
        "first_at": consumer.first_at,
        "last_at": consumer.last_at,
    }


def lineage_json(graph: Graph) -> LineageJson:
    """Render a graph; `root` is the version that was asked for."""
    nodes: list[NodeJson] = [
        {
            "id": node.id,
            "kind": node.kind,
            "name": node.name,
            "is_hidden": node.is_hidden,
            "details": node.details,
        }
        for node in graph.nodes
    ]
    edges: list[EdgeJson] = [
        {"source": edge.source, "target": edge.target, "relation": edge.relation}
        for edge in graph.edges
    ]
    return {
        "root": graph.root,
        "nodes": nodes,
        "edges": edges,
        "is_complete": graph.is_complete,
    }
