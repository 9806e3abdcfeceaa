"""The catalog tree: catalogs, schemas and models."""

from __future__ import annotations

from django.db.models import IntegerField, OuterRef, Prefetch, QuerySet, Subquery
from django.http import HttpResponse
from django.shortcuts import render

from access.models import User
from console.pages import SignedInRequest, page, visible_or_404
from registry.listing import list_models
from registry.models import Catalog, RegisteredModel, Schema

PAGE_SIZE = 25
# what else stands in schemas
_BESIDE = (
    ("console:pipelines", "Pipelines"),
    ("console:datasets", "Datasets"),
    ("console:experiments", "Experiments"),
    ("console:endpoints", "Endpoints"),
)
SCHEMAS_SHOWN = 10
# from so many on, models are not counted
MANY = 1000


@page
def catalogs(request: SignedInRequest) -> HttpResponse:
    """Show the catalogs that the person may see, with their first schemas."""
    rows = Catalog.objects.visible(request.user).select_related("owner")
    rows = rows.filter(name__gt=request.GET.get("after", "")).order_by("name")
    first = _schemas(request.user)[: SCHEMAS_SHOWN + 1]
    rows = rows.prefetch_related(Prefetch("schemas", first, to_attr="first_schemas"))
    found = list(rows[: PAGE_SIZE + 1])
    context = {
        "catalogs": found[:PAGE_SIZE],
        "has_more": len(found) > PAGE_SIZE,
        "shown": SCHEMAS_SHOWN,
    }
    return render(request, "console/catalogs.html", context)


@page
def catalog(request: SignedInRequest, catalog: str) -> HttpResponse:
    """Show one catalog and its schemas, in name order, page by page."""
    found = visible_or_404(
        Catalog.objects.select_related("owner"), request, name=catalog
    )
    rows = _schemas(request.user).filter(
        catalog=found, name__gt=request.GET.get("after", "")
    )
    schemas = list(rows[: PAGE_SIZE + 1])
    context = {
        "catalog": found,
        "schemas": schemas[:PAGE_SIZE],
        "has_more": len(schemas) > PAGE_SIZE,
    }
    return render(request, "console/catalog.html", context)


@page
def schema(request: SignedInRequest, catalog: str, schema: str) -> HttpResponse:
    """Show one schema and its models, in name order, page by page."""
    rows = Schema.objects.select_related("catalog", "owner")
    found = visible_or_404(rows, request, catalog__name=catalog, name=schema)
    models = list_models(
        request.user,
        within=found.full_name,
        after=request.GET.get("after", ""),
        limit=PAGE_SIZE + 1,
    )
    context = {
        "schema": found,
        "beside": _BESIDE,
        "models": models[:PAGE_SIZE],
        "has_more": len(models) > PAGE_SIZE,
    }
    return render(request, "console/schema.html", context)


class _Count(Subquery):
    """How many rows a subquery finds."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()


def _schemas(person: User) -> QuerySet[Schema]:
    """Return the visible schemas with the number of models that the person sees.

    Nobody needs to know more exactly than that there are a great many.
    """
    models = RegisteredModel.objects.visible(person).filter(schema=OuterRef("pk"))
    rows: QuerySet[Schema] = (
        Schema.objects.visible(person)
        .select_related("catalog", "owner")
        .annotate(model_count=_Count(models.order_by().values("pk")[:MANY]))
        .order_by("name")
    )
    return rows
