"""A model: its versions, aliases, tags; and what may be changed of it."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render

from access.authz import is_allowed, is_browse_only
from access.privileges import Privilege
from approvals.models import OPEN
from console.pages import (
    SignedInRequest,
    action,
    check_typed,
    page,
    visible_or_404,
)
from console.queries import present_aliases, recent_events_of_model, requests_about
from console.tags import may_tag, read_tag
from registry import services as registry
from registry.models import RegisteredModel, VersionStatus
from registry.texts import tags_of_model
from serving import services as serving

PAGE_SIZE = 25


@page
def model(
    request: SignedInRequest, catalog: str, schema: str, model: str
) -> HttpResponse:
    """Show a model: its aliases, versions, open requests and endpoints."""
    found = find_model(request, catalog, schema, model)
    browse_only = is_browse_only(request.user, found)
    versions = found.versions.exclude(status=VersionStatus.DELETED)
    versions = versions.none() if browse_only else versions
    versions = versions.select_related("created_by", "on_behalf_of")
    before = request.GET.get("before", "")
    if before.isdecimal():
        versions = versions.filter(number__lt=int(before))
    page_of_versions = list(versions.prefetch_related("aliases")[: PAGE_SIZE + 1])
    for version in page_of_versions:
        version.model = found
    context = {
        "model": found,
        "versions": page_of_versions[:PAGE_SIZE],
        "has_more": len(page_of_versions) > PAGE_SIZE,
        "browse_only": browse_only,
        "aliases": [] if browse_only else present_aliases(found),
        "tags": tags_of_model(found),
        "may_tag": may_tag(request.user, found),
        "requests": (
            [] if browse_only else requests_about(found).filter(status__in=OPEN)
        ),
        "endpoints": serving.known_endpoints(request.user).filter(model=found),
        "events": [] if browse_only else recent_events_of_model(found),
    }
    return render(request, "console/model.html", context)


@action(shown_on=model)
def tag_model(
    request: SignedInRequest, catalog: str, schema: str, model: str
) -> HttpResponse:
    """Set a tag of a model."""
    found = find_model(request, catalog, schema, model)
    tag = read_tag(request.POST)
    registry.set_model_tag(found, tag.key, tag.value, principal=request.user)
    messages.success(request, f"The tag {tag.key} was set.")
    return redirect("console:model", catalog, schema, model)


@action(shown_on=model)
def untag_model(
    request: SignedInRequest, catalog: str, schema: str, model: str
) -> HttpResponse:
    """Delete a tag of a model."""
    found = find_model(request, catalog, schema, model)
    key = request.POST.get("key", "")
    registry.delete_model_tag(found, key, principal=request.user)
    messages.success(request, f"The tag {key} was deleted.")
    return redirect("console:model", catalog, schema, model)


@page
def model_settings(
    request: SignedInRequest, catalog: str, schema: str, model: str
) -> HttpResponse:
    """Show what may be changed of a model by who owns or manages it."""
    found = find_model(request, catalog, schema, model)
    context = {
        "object": found,
        "kind": "model",
        "catalog": found.schema.catalog,
        "owns": is_allowed(request.user, Privilege.OWN, found),
        "may_manage": is_allowed(request.user, Privilege.MANAGE, found),
        "typed": request.POST,
    }
    return render(request, "console/model_settings.html", context)


@action(shown_on=model_settings)
def describe_model(
    request: SignedInRequest, catalog: str, schema: str, model: str
) -> HttpResponse:
    """Change the description of a model."""
    found = find_model(request, catalog, schema, model)
    text = request.POST.get("comment", "").strip()
    registry.update_model(found, text, principal=request.user)
    messages.success(request, "The description was changed.")
    return redirect("console:model_settings", catalog, schema, model)


@action(shown_on=model_settings)
def rename_model(
    request: SignedInRequest, catalog: str, schema: str, model: str
) -> HttpResponse:
    """Give a model another full name, after its present one was typed."""
    found = find_model(request, catalog, schema, model)
    check_typed(request, found.full_name)
    wanted = request.POST.get("new_name", "").strip()
    renamed = registry.rename_model(found, wanted, principal=request.user)
    messages.success(request, f"The model is called {renamed.full_name} now.")
    return redirect("console:model_settings", *renamed.full_name.split("."))


@action(shown_on=model_settings)
def delete_model(
    request: SignedInRequest, catalog: str, schema: str, model: str
) -> HttpResponse:
    """Delete a model with its versions, after its full name was typed."""
    found = find_model(request, catalog, schema, model)
    check_typed(request, found.full_name)
    registry.delete_model(found, principal=request.user)
    messages.success(request, f"{catalog}.{schema}.{model} was deleted.")
    return redirect("console:schema", catalog, schema)


def find_model(
    request: SignedInRequest, catalog: str, schema: str, model: str
) -> RegisteredModel:
    """Return a model that the person may see. Raises NotFound."""
    rows: QuerySet[RegisteredModel] = RegisteredModel.objects.select_related(
        "owner", "schema__catalog__owner", "schema__owner"
    )
    return visible_or_404(rows, request, full_name=f"{catalog}.{schema}.{model}")
