"""A version: its files, origin, signature, tags, lineage, and who loads it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from access.authz import is_allowed, require_details
from access.privileges import Privilege
from approvals import services as approvals
from console.drawing import draw
from console.pages import ENDED, SignedInRequest, action, check_typed, page
from console.queries import present_aliases, requests_about
from console.tags import may_tag, read_tag
from console.views.models import find_model
from core.errors import NotFound
from registry import services as registry
from registry.lineage import lineage_of
from registry.models import ModelVersion, RegisteredModel, VersionStatus
from registry.texts import comments_of, tags_of_version


@page
def version(
    request: SignedInRequest, catalog: str, schema: str, model: str, number: int
) -> HttpResponse:
    """Show a version; asked by htmx, only how far its registration is."""
    found = find_model(request, catalog, schema, model)
    row = find_version(request, found, number)
    if request.htmx:
        return _progress(request, row)
    can_ask = row.status == VersionStatus.READY and not row.tampered_at
    owns = is_allowed(request.user, Privilege.OWN, found)
    may_audit = is_allowed(request.user, Privilege.MANAGE, found)
    context = {
        "model": found,
        "version": row,
        "comment": comments_of(found, [number]).get(number, ""),
        "tags": tags_of_version(row),
        "may_tag": may_tag(request.user, found),
        "owns": owns,
        "can_ask": can_ask and owns,
        "aliases": present_aliases(found),
        "requests": requests_about(found).filter(version=row),
        "drawing": draw(lineage_of(row, request.user)),
        "may_audit": may_audit,
        "may_delete": may_audit and row.status != VersionStatus.DELETED,
        "object": row,
        "typed": request.POST,
        "consumers": (
            registry.consumers_of(row, principal=request.user) if may_audit else []
        ),
    }
    return render(request, "console/version.html", context)


def _progress(request: SignedInRequest, version: ModelVersion) -> HttpResponse:
    """Answer a poll; when the bytes are taken, have the whole page loaded anew."""
    context = {"version": version}
    if version.status == VersionStatus.PENDING:
        return render(request, "console/_progress.html", context)
    response = render(request, "console/_progress.html", context, status=ENDED)
    response["HX-Refresh"] = "true"
    return response


@action(shown_on=version)
def request_alias(
    request: SignedInRequest, catalog: str, schema: str, model: str, number: int
) -> HttpResponse:
    """Ask for an alias to be moved to this version; unprotected ones move at once."""
    found = find_model(request, catalog, schema, model)
    row = find_version(request, found, number)
    name = request.POST.get("alias", "").strip()
    reason = request.POST.get("reason", "").strip()
    if approvals.find_policy(found, name) is None:
        alias = approvals.set_alias(found, name, row, principal=request.user)
        messages.success(request, f"{alias.name} points at version {number} now.")
        return redirect("console:version", catalog, schema, model, number)
    asked = approvals.request_alias(
        found, name, row, reason=reason, principal=request.user
    )
    messages.success(request, f"{asked.alias} was asked for; the reviewers were told.")
    return redirect("console:request", asked.pk)


@action(shown_on=version)
def describe_version(
    request: SignedInRequest, catalog: str, schema: str, model: str, number: int
) -> HttpResponse:
    """Change the description of a version."""
    row = find_version(request, find_model(request, catalog, schema, model), number)
    text = request.POST.get("comment", "").strip()
    registry.update_version(row, text, principal=request.user)
    messages.success(request, "The description was changed.")
    return redirect("console:version", catalog, schema, model, number)


@action(shown_on=version)
def tag_version(
    request: SignedInRequest, catalog: str, schema: str, model: str, number: int
) -> HttpResponse:
    """Set a tag of a version."""
    row = find_version(request, find_model(request, catalog, schema, model), number)
    tag = read_tag(request.POST)
    registry.set_version_tag(row, tag.key, tag.value, principal=request.user)
    messages.success(request, f"The tag {tag.key} was set.")
    return redirect("console:version", catalog, schema, model, number)


@action(shown_on=version)
def untag_version(
    request: SignedInRequest, catalog: str, schema: str, model: str, number: int
) -> HttpResponse:
    """Delete a tag of a version."""
    row = find_version(request, find_model(request, catalog, schema, model), number)
    key = request.POST.get("key", "")
    registry.delete_version_tag(row, key, principal=request.user)
    messages.success(request, f"The tag {key} was deleted.")
    return redirect("console:version", catalog, schema, model, number)


@action(shown_on=version)
def delete_version(
    request: SignedInRequest, catalog: str, schema: str, model: str, number: int
) -> HttpResponse:
    """Delete a version, after its full name was typed."""
    row = find_version(request, find_model(request, catalog, schema, model), number)
    check_typed(request, row.full_name)
    registry.delete_version(row, principal=request.user)
    messages.success(request, f"{row.full_name} was deleted.")
    return redirect("console:model", catalog, schema, model)


def find_version(
    request: SignedInRequest, model: RegisteredModel, number: int
) -> ModelVersion:
    """Return a version of a model by its number.

    Raises PermissionDenied for who only browses the model, and NotFound.
    """
    require_details(request.user, model)
    rows: Any = model.versions.select_related("created_by", "on_behalf_of")
    found: ModelVersion | None = (
        rows.prefetch_related("aliases").filter(number=number).first()
    )
    if found is None:
        raise NotFound(f"{model.full_name} has no version {number}.")
    found.model = model
    return found
