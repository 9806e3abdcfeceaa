"""The settings of catalogs and schemas: description, rules for versions, deletion."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from access.authz import is_allowed
from access.privileges import Privilege
from console.objects import find_visible, kind_of, url_to
from console.pages import SignedInRequest, action, check_typed, page
from core.errors import NotFound
from registry import services as registry
from registry.models import Catalog, CodePolicy, Schema

# What each code policy does, for the list of choices.
_POLICIES = {
    CodePolicy.BLOCK: "Block: no model that brings code",
    CodePolicy.REVIEW: "Review: code is marked, what looks like an attack is refused",
    CodePolicy.ALLOW: "Allow: code is marked, nothing is refused",
}


@page
def settings(request: SignedInRequest, kind: str, full_name: str) -> HttpResponse:
    """Show what may be changed of a catalog or schema by its owner, and deleted."""
    found = _container(request, kind, full_name)
    context = {
        "object": found,
        "kind": kind_of(found),
        "catalog": found if isinstance(found, Catalog) else found.catalog,
        "owns": is_allowed(request.user, Privilege.OWN, found),
        "may_manage": is_allowed(request.user, Privilege.MANAGE, found),
        "policies": _POLICIES.items(),
        "typed": request.POST,
    }
    return render(request, "console/container_settings.html", context)


@action(shown_on=settings)
def change(request: SignedInRequest, kind: str, full_name: str) -> HttpResponse:
    """Change the description of a catalog or schema, and the rules of a catalog."""
    found = _container(request, kind, full_name)
    comment = request.POST.get("comment", "").strip()
    if isinstance(found, Schema):
        registry.update_schema(found, comment=comment, principal=request.user)
    else:
        registry.update_catalog(
            found,
            comment=comment,
            code_policy=request.POST.get("code_policy", ""),
            require_signature="require_signature" in request.POST,
            delegated_versions="delegated_versions" in request.POST,
            principal=request.user,
        )
    messages.success(request, f"The settings of {found.full_name} were changed.")
    return redirect(url_to(found, "container_settings"))


@action(shown_on=settings)
def delete(request: SignedInRequest, kind: str, full_name: str) -> HttpResponse:
    """Delete an empty catalog or schema, after its full name was typed."""
    found = _container(request, kind, full_name)
    check_typed(request, found.full_name)
    if isinstance(found, Schema):
        registry.delete_schema(found, principal=request.user)
    else:
        registry.delete_catalog(found, principal=request.user)
    messages.success(request, f"{full_name} was deleted.")
    return redirect("console:catalogs")


def _container(request: SignedInRequest, kind: str, full_name: str) -> Catalog | Schema:
    found = find_visible(kind, full_name, request.user)
    if not isinstance(found, Catalog | Schema):
        raise NotFound(f"A {kind} has no settings here.")
    return found
