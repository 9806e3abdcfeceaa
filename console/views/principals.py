"""Principals: groups with their members, service principals, people; what each holds.

Every signed-in person may know who is there and who is in which group, as one must
to grant anything. What somebody holds is for itself, for the members of a group, for
the owner of a service principal, and for admins.
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from access import services as access
from access.facts import principals_of
from access.listings import grants_of, owned_by
from access.models import AccessToken, Membership, PrincipalKind, User
from console.pages import SignedInRequest, action, page
from console.tokens import issue_token, revoke_token
from core.errors import InvalidParameter, NotFound, PermissionDenied

PAGE_SIZE = 50
_TABS = (
    (PrincipalKind.GROUP, "Groups"),
    (PrincipalKind.SERVICE, "Service principals"),
    (PrincipalKind.USER, "People"),
)


@page
def principals(request: SignedInRequest) -> HttpResponse:
    """Show the principals of one kind, by name, page by page."""
    shown = request.GET.get("kind", PrincipalKind.GROUP)
    rows = User.objects.filter(kind=shown, username__gt=request.GET.get("after", ""))
    rows = rows.select_related("owner").annotate(count=Count("memberships"))
    found = list(rows.order_by("username")[: PAGE_SIZE + 1])
    context = {
        "principals": found[:PAGE_SIZE],
        "has_more": len(found) > PAGE_SIZE,
        "shown": shown,
        "tabs": _TABS,
        "typed": request.POST,
    }
    return render(request, "console/principals.html", context)


@action(shown_on=principals)
def create_principal(request: SignedInRequest) -> HttpResponse:
    """Create a group or a service principal (admin)."""
    name = request.POST.get("name", "").strip()
    if not name:
        raise InvalidParameter("name: say how it is called.")
    if request.POST.get("kind") == PrincipalKind.GROUP:
        access.create_group(name, principal=request.user)
    else:
        owner = access.get_account(request.POST.get("owner", "").strip())
        access.create_service_principal(name, owner, principal=request.user)
    messages.success(request, f"{name} was created.")
    return redirect("console:principal", name)


@page
def principal(request: SignedInRequest, name: str) -> HttpResponse:
    """Show one principal: members and groups, what it holds and owns, tokens."""
    who = access.get_principal(name)
    answers = _answers_for(request.user, who)
    context = {
        "who": who,
        "members": _members(who),
        "groups": who.group_memberships.select_related("group").order_by(
            "group__username"
        ),
        "may_see_holdings": answers or _is_in(request.user, who),
        "may_manage_tokens": answers and who.kind != PrincipalKind.GROUP,
        "typed": request.POST,
        "now": timezone.now(),
    }
    if context["may_see_holdings"]:
        context["holdings"] = grants_of(who)
        context["owned"] = owned_by(who)
    if context["may_manage_tokens"]:
        context["tokens"] = who.access_tokens.order_by("-created_at")
    if request.user.is_superuser and who.kind == PrincipalKind.GROUP:
        context["principals"] = _names()
    return render(request, "console/principal.html", context)


@action(shown_on=principal)
def add_member(request: SignedInRequest, name: str) -> HttpResponse:
    """Put a principal into a group (admin)."""
    group = access.get_principal(name)
    member = access.get_principal(request.POST.get("member", "").strip())
    access.add_member(group, member, principal=request.user)
    messages.success(request, f"{member} is in {group} now.")
    return redirect("console:principal", name)


@action(shown_on=principal)
def remove_member(request: SignedInRequest, name: str) -> HttpResponse:
    """Take a principal out of a group (admin)."""
    group = access.get_principal(name)
    member = access.get_principal(request.POST.get("member", "").strip())
    access.remove_member(group, member, principal=request.user)
    messages.success(request, f"{member} is no longer in {group}.")
    return redirect("console:principal", name)


@action(shown_on=principal)
def issue_token_of(request: SignedInRequest, name: str) -> HttpResponse:
    """Issue a token of a service principal that one owns."""
    holder = access.get_principal(name)
    if not _answers_for(request.user, holder):
        raise PermissionDenied(f"Only its owner or an admin issues tokens of {name}.")
    return issue_token(request, holder)


@action(shown_on=principal)
def revoke_token_of(request: SignedInRequest, name: str) -> HttpResponse:
    """Revoke a token of a service principal that one owns."""
    holder = access.get_principal(name)
    if not _answers_for(request.user, holder):
        raise NotFound(f"No such token of {name}.")
    revoke_token(request, AccessToken.objects.filter(principal=holder))
    return redirect("console:principal", name)


def _answers_for(person: User, who: User) -> bool:
    """Tell whether the person is the principal, owns it, or is an admin."""
    return person.is_superuser or person in (who, who.owner)


def _is_in(person: User, group: User) -> bool:
    return group.kind == PrincipalKind.GROUP and group.pk in principals_of(person)


def _members(who: User) -> Any:
    rows = Membership.objects.filter(group=who).select_related("member", "added_by")
    return rows.order_by("member__username")


def _names() -> list[str]:
    active = User.objects.filter(is_active=True).order_by("username")
    return list(active.values_list("username", flat=True)[:500])
