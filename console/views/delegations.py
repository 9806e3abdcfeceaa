"""Who decides on whose behalf: one's own delegations, given and held."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from access.services import get_principal
from approvals import services as approvals
from console.pages import SignedInRequest, action, page
from core.errors import InvalidParameter


@page
def delegations(request: SignedInRequest) -> HttpResponse:
    """Show the delegations that one gave or got, and a form for another."""
    rows = approvals.visible_delegations(principal=request.user)
    context = {"delegations": rows[:100], "typed": request.POST}
    return render(request, "console/delegations.html", context)


@action(shown_on=delegations)
def delegate(request: SignedInRequest) -> HttpResponse:
    """Let somebody decide on one's behalf."""
    made = approvals.delegate_approvals(
        get_principal(request.POST.get("delegate", "").strip()),
        starts_at=_moment(request, "starts_at"),
        ends_at=_moment(request, "ends_at") or timezone.now(),
        reason=request.POST.get("reason", "").strip(),
        principal=request.user,
    )
    messages.success(request, f"{made.delegate.username} may decide on your behalf.")
    return redirect("console:delegations")


@action(shown_on=delegations)
def end_delegation(request: SignedInRequest) -> HttpResponse:
    """End a delegation that one gave or got."""
    found = approvals.get_delegation(_id(request), principal=request.user)
    approvals.revoke_delegation(found, principal=request.user)
    messages.success(request, "The delegation ended.")
    return redirect("console:delegations")


def _id(request: SignedInRequest) -> UUID:
    try:
        return UUID(request.POST.get("delegation", ""))
    except ValueError as error:
        raise InvalidParameter("delegation: choose one of the list.") from error


def _moment(request: SignedInRequest, name: str) -> dt.datetime | None:
    """Read a moment in UTC, as the browser's field for one writes it."""
    text = request.POST.get(name, "")
    if not text:
        return None
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise InvalidParameter(f"{name} must be a date and a time.")
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
