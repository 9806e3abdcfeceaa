"""REST of catalogs and schemas."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.authentication import caller
from core.errors import unseen
from core.openapi import operation
from registry import services
from registry.models import Catalog, Schema
from registry.paging import page_of
from registry.serializers import (
    CatalogChangeSerializer,
    CommentSerializer,
    NameSerializer,
    PageSerializer,
    SchemasQuerySerializer,
    catalog_json,
    schema_json,
)
from registry.shapes import (
    CatalogJson,
    CatalogsJson,
    SchemaJson,
    SchemasJson,
)


class CatalogList(APIView):
    """The catalogs."""

    @operation(
        "List the catalogs that you see, by name.",
        query=PageSerializer,
        answer=CatalogsJson,
    )
    def get(self, request: Request) -> Response:
        asked = PageSerializer.read(request.query_params)
        rows = Catalog.objects.visible(caller(request)).select_related("owner")
        page, more = page_of(rows, asked, "name", purpose="catalogs")
        return Response({"catalogs": [catalog_json(row) for row in page], **more})

    @operation("Create a catalog.", body=NameSerializer, answer=CatalogJson, status=201)
    def post(self, request: Request) -> Response:
        data = NameSerializer.read(request.data)
        catalog = services.create_catalog(
            data["name"], comment=data["comment"], principal=caller(request)
        )
        return Response(catalog_json(catalog), status=201)


class CatalogDetail(APIView):
    """One catalog."""

    @operation("Show a catalog.", answer=CatalogJson)
    def get(self, request: Request, name: str) -> Response:
        return Response(catalog_json(_catalog(name, request)))

    @operation(
        "Change the comment of a catalog, or its setting.",
        body=CatalogChangeSerializer,
        answer=CatalogJson,
    )
    def patch(self, request: Request, name: str) -> Response:
        data = CatalogChangeSerializer.read(request.data)
        catalog = services.update_catalog(
            _catalog(name, request),
            comment=data["comment"],
            delegated_versions=data["delegated_versions"],
            require_signature=data["require_signature"],
            code_policy=data["code_policy"],
            principal=caller(request),
        )
        return Response(catalog_json(catalog))

    @operation("Delete an empty catalog.", status=204)
    def delete(self, request: Request, name: str) -> Response:
        services.delete_catalog(_catalog(name, request), principal=caller(request))
        return Response(status=204)


class SchemaList(APIView):
    """The schemas."""

    @operation(
        "List the schemas that you see, by full name.",
        query=SchemasQuerySerializer,
        answer=SchemasJson,
    )
    def get(self, request: Request) -> Response:
        asked = SchemasQuerySerializer.read(request.query_params)
        rows = Schema.objects.visible(caller(request))
        rows = rows.select_related("owner", "catalog")
        if asked["catalog"]:
            rows = rows.filter(catalog__name=asked["catalog"])
        page, more = page_of(rows, asked, "catalog__name", "name", purpose="schemas")
        return Response({"schemas": [schema_json(row) for row in page], **more})

    @operation(
        "Create a schema, named catalog.schema.",
        body=NameSerializer,
        answer=SchemaJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = NameSerializer.read(request.data)
        schema = services.create_schema(
            data["name"], comment=data["comment"], principal=caller(request)
        )
        return Response(schema_json(schema), status=201)


class SchemaDetail(APIView):
    """One schema."""

    @operation("Show a schema.", answer=SchemaJson)
    def get(self, request: Request, full_name: str) -> Response:
        return Response(schema_json(_schema(full_name, request)))

    @operation(
        "Change the comment of a schema.", body=CommentSerializer, answer=SchemaJson
    )
    def patch(self, request: Request, full_name: str) -> Response:
        comment = CommentSerializer.read(request.data)["comment"]
        schema = services.update_schema(
            _schema(full_name, request), comment=comment, principal=caller(request)
        )
        return Response(schema_json(schema))

    @operation("Delete an empty schema.", status=204)
    def delete(self, request: Request, full_name: str) -> Response:
        services.delete_schema(_schema(full_name, request), principal=caller(request))
        return Response(status=204)


def _catalog(name: str, request: Request) -> Catalog:
    rows = Catalog.objects.visible(caller(request)).select_related("owner")
    found: Catalog | None = rows.filter(name=name).first()
    if found is None:
        raise unseen("catalog", name)
    return found


def _schema(full_name: str, request: Request) -> Schema:
    catalog, _, name = full_name.partition(".")
    rows = Schema.objects.visible(caller(request))
    rows = rows.select_related("owner", "catalog__owner")
    found: Schema | None = rows.filter(catalog__name=catalog, name=name).first()
    if found is None:
        raise unseen("schema", full_name)
    return found
