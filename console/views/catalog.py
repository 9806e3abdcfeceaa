"""The catalog tree: catalogs, schemas and models."""

from __future__ import annotations

from django.db.models import Count, IntegerField, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.shortcuts import render

from access.conditions import detailed_among
from access.models import User
from console.pages import SignedInRequest, page, visible_or_404
from registry.models import Catalog, ModelVersion, RegisteredModel, Schema

PAGE_SIZE = 25


@page
def catalogs(request: SignedInRequest) -> HttpResponse:
    """Show the catalogs that the person may see, with their schemas."""
    rows = Catalog.objects.visible(request.user).select_related("owner")
    schemas = Prefetch("schemas", _schemas(request.user))
    context = {"catalogs": rows.order_by("name").prefetch_related(schemas)}
    return render(request, "console/catalogs.html", context)


@page
def catalog(request: SignedInRequest, catalog: str) -> HttpResponse:
    """Show one catalog and its schemas."""
    found = visible_or_404(
        Catalog.objects.select_related("owner"), request, name=catalog
    )
    schemas = _schemas(request.user).filter(catalog=found)
    context = {"catalog": found, "schemas": schemas}
    return render(request, "console/catalog.html", context)


@page
def schema(request: SignedInRequest, catalog: str, schema: str) -> HttpResponse:
    """Show one schema and its models, in name order, page by page."""
    rows = Schema.objects.select_related("catalog", "owner")
    found = visible_or_404(rows, request, catalog__name=catalog, name=schema)
    rows_of_page = (
        RegisteredModel.objects.visible(request.user)
        .filter(schema=found, name__gt=request.GET.get("after", ""))
        .select_related("owner")
        .prefetch_related("aliases__version")
        .annotate(latest=_latest_number())
        .order_by("name")[: PAGE_SIZE + 1]
    )
    models = list(rows_of_page)
    ids = [model.pk for model in models]
    context = {
        "schema": found,
        "detailed": detailed_among(request.user, RegisteredModel, ids),
        "models": models[:PAGE_SIZE],
        "has_more": len(models) > PAGE_SIZE,
    }
    return render(request, "console/schema.html", context)


def _schemas(person: User) -> QuerySet[Schema]:
    """Return the visible schemas with the number of models that the person sees."""
    counts = (
        RegisteredModel.objects.visible(person)
        .filter(schema=OuterRef("pk"))
        .order_by()
        .values("schema")
        .annotate(count=Count("pk"))
        .values("count")
    )
    rows: QuerySet[Schema] = (
        Schema.objects.visible(person)
        .select_related("catalog", "owner")
        .annotate(model_count=Coalesce(Subquery(counts), 0))
        .order_by("name")
    )
    return rows


def _latest_number() -> Subquery:
    versions = ModelVersion.objects.filter(model=OuterRef("pk"), deleted_at=None)
    newest = versions.order_by("-number")
    return Subquery(newest.values("number")[:1], output_field=IntegerField())
