"""The Permissions tab of any securable: grants, their change, ownership, why."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from access import services as access
from access.authz import is_allowed, require
from access.explanations import explain
from access.listings import grants_on
from access.models import User
from access.operations import Operation, Role, find_operation, operations_on
from access.privileges import Privilege, parse_privilege
from access.securables import Securable
from access.simulation import Change as Step
from access.simulation import simulate
from access.ways import able, case_of
from access.who_could import who_could
from console.objects import applicable_privileges, find_visible, kind_of
from console.pages import SignedInRequest, action, check_typed, page, refused
from core.errors import DomainError, InvalidParameter

_SUGGESTED = 500


@dataclass(frozen=True)
class Change:
    """What a form asks to grant or to revoke, before it is applied."""

    holder: User
    add: list[Privilege]
    remove: list[Privilege]
    expires_at: dt.datetime | None

    def as_steps(self, securable: Securable) -> list[Step]:
        """Return the change as single steps, to be tried before it is made."""
        added = [
            Step("grant", self.holder, securable, one.value, self.expires_at)
            for one in self.add
        ]
        removed = [
            Step("revoke", self.holder, securable, one.value) for one in self.remove
        ]
        return removed + added

    def as_wire(self) -> dict[str, Any]:
        return {
            "principal": self.holder.username,
            "add": self.add,
            "remove": self.remove,
            "expires_at": self.expires_at,
        }


@page
def permissions(request: SignedInRequest, kind: str, full_name: str) -> HttpResponse:
    """Show who holds what on an object: everything to who manages it, else one's own."""
    found = find_visible(kind, full_name, request.user)
    asked = request.GET.get("holder", "").strip()
    may_manage = is_allowed(request.user, Privilege.MANAGE, found)
    shown = [
        grant
        for grant in grants_on(found, principal=request.user)
        if asked.lower() in grant.principal.username.lower()
    ]
    context = {
        **_about(found),
        "may_manage": may_manage,
        "principals": _suggestions() if may_manage else [],
        "direct": [grant for grant in shown if not grant.is_inherited],
        "inherited": [grant for grant in shown if grant.is_inherited],
        "asked": asked,
    }
    return render(request, "console/permissions.html", context)


@page
def grant(request: SignedInRequest, kind: str, full_name: str) -> HttpResponse:
    """Show the form that grants: whom, which privileges, until when."""
    found = find_visible(kind, full_name, request.user)
    require(request.user, Privilege.MANAGE, found)
    context = {**_about(found), "principals": _suggestions(), "typed": _typed(request)}
    return render(request, "console/grant.html", context)


@page
def change_grants(request: SignedInRequest, kind: str, full_name: str) -> HttpResponse:
    """Show what a change of grants would do; on POST, make it."""
    found = find_visible(kind, full_name, request.user)
    require(request.user, Privilege.MANAGE, found)
    sent = request.POST if request.method == "POST" else request.GET
    try:
        change = _read_change(sent, found)
        if request.method == "POST":
            access.change_grants(found, [change.as_wire()], principal=request.user)
            messages.success(request, f"The grants of {change.holder} were changed.")
            return redirect("console:permissions", kind_of(found), found.full_name)
        effects = simulate(change.as_steps(found), principal=request.user)
    except DomainError as error:
        return refused(request, error, grant, kind, full_name)
    context = {**_about(found), "change": change, "effects": effects}
    return render(request, "console/change_grants.html", context)


@page
def transfer_form(request: SignedInRequest, kind: str, full_name: str) -> HttpResponse:
    """Ask for the new owner; then show what would change, and have it confirmed."""
    found = find_visible(kind, full_name, request.user)
    require(request.user, Privilege.MANAGE, found)
    typed = _typed(request)
    context = {**_about(found), "principals": _suggestions(), "typed": typed}
    if typed["owner"] and not hasattr(request, "refusal"):
        try:
            owner = access.get_principal(typed["owner"].strip())
            step = Step("transfer_ownership", owner, found)
            context["effects"] = simulate([step], principal=request.user)
        except DomainError as error:
            request.refusal = error  # type: ignore[attr-defined]  # as in pages.refused
            context["typed"] = {**typed, "owner": ""}
    return render(request, "console/transfer.html", context)


@action(shown_on=transfer_form)
def transfer(request: SignedInRequest, kind: str, full_name: str) -> HttpResponse:
    """Make somebody else the owner."""
    found = find_visible(kind, full_name, request.user)
    check_typed(request, found.full_name)
    owner = access.get_principal(request.POST.get("owner", "").strip())
    access.transfer_ownership(found, owner, principal=request.user)
    messages.success(request, f"{owner.username} owns {found.full_name} now.")
    return redirect("console:permissions", kind_of(found), found.full_name)


@page
def why(request: SignedInRequest, kind: str, full_name: str) -> HttpResponse:
    """Show why somebody may, or may not, do something with an object."""
    found = find_visible(kind, full_name, request.user)
    may_manage = is_allowed(request.user, Privilege.MANAGE, found)
    name = request.GET.get("principal", "").strip() or request.user.username
    if name != request.user.username:
        require(request.user, Privilege.MANAGE, found)
    subject = access.get_principal(name)
    asked = request.GET.get("operation", "").strip()
    context = {
        **_about(found),
        "may_manage": may_manage,
        "principals": _suggestions() if may_manage else [],
        "subject": subject,
        "operation": asked,
        "able": able(case_of(subject, found)),
        "explanation": explain(subject, asked, found) if asked else None,
    }
    return render(request, "console/why.html", context)


@page
def who_may(request: SignedInRequest, kind: str, full_name: str) -> HttpResponse:
    """Show everybody who could do something with an object, and by which path."""
    found = find_visible(kind, full_name, request.user)
    require(request.user, Privilege.MANAGE, found)
    about = _about(found)
    known = [one for one in about["operations"] if not _is_for_all(one)]
    asked = request.GET.get("operation", "").strip()
    first = "move_alias" if about["kind"] == "model" else known[0].name
    operation = find_operation(asked or first, found._meta.model_name or "")
    context = {
        **about,
        "operations": known,
        "operation": operation,
        "found": who_could(operation.name, found),
    }
    return render(request, "console/who_may.html", context)


def _is_for_all(operation: Operation) -> bool:
    return any((Role.ANYONE, 0) in way.needs for way in operation.ways)


def _about(securable: Securable) -> dict[str, Any]:
    return {
        "object": securable,
        "kind": kind_of(securable),
        "privileges": applicable_privileges(securable),
        "operations": operations_on(securable._meta.model_name or ""),
    }


def _typed(request: SignedInRequest) -> dict[str, Any]:
    """Return what was typed into a form before, so that it is not typed twice."""
    sent = request.POST if request.method == "POST" else request.GET
    return {
        **{key: sent.get(key, "") for key in ("principal", "owner", "until", "typed")},
        "add": sent.getlist("add"),
    }


def _suggestions() -> list[str]:
    """Return names of principals that an input offers; more can be typed."""
    active = User.objects.filter(is_active=True).order_by("username")
    return list(active.values_list("username", flat=True)[:_SUGGESTED])


def _read_change(sent: QueryDict, securable: Securable) -> Change:
    kind = securable._meta.model_name or ""
    name = sent.get("principal", "").strip()
    if not name:
        raise InvalidParameter("principal: say whom to grant to.")
    change = Change(
        access.get_principal(name),
        [parse_privilege(text, kind) for text in sent.getlist("add")],
        [parse_privilege(text, kind) for text in sent.getlist("remove")],
        _read_moment(sent.get("until", "")),
    )
    if not (change.add or change.remove):
        raise InvalidParameter("add: choose at least one privilege.")
    return change


def _read_moment(text: str) -> dt.datetime | None:
    """Read the end of a grant, in UTC unless it says otherwise."""
    if not text.strip():
        return None
    try:
        moment = parse_datetime(text.strip())
    except ValueError:
        moment = None
    if moment is None:
        raise InvalidParameter("until: write it as 2030-12-31T23:59, in UTC.")
    if timezone.is_naive(moment):
        moment = moment.replace(tzinfo=dt.UTC)
    if moment <= timezone.now():
        raise InvalidParameter("until: it must lie in the future.")
    return moment
