"""Issue and revoke access tokens by a form, of one's own or of what one owns."""

from __future__ import annotations

import datetime as dt

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from access import services as access
from access.models import AccessToken, User
from console.pages import SignedInRequest
from core.errors import InvalidParameter, NotFound


def issue_token(request: SignedInRequest, holder: User) -> HttpResponse:
    """Issue a token and show its text: this once, so it is no redirect."""
    days = request.POST.get("days", "")
    if not days.isdecimal() or not 1 <= int(days) <= 366:
        raise InvalidParameter("The life of a token must be 1 to 366 days.")
    text = access.issue_token(
        holder,
        request.POST.get("name", "").strip()[:100] or "console",
        expires_at=timezone.now() + dt.timedelta(days=int(days)),
        scopes=request.POST.getlist("scopes"),
        principal=request.user,
    )
    context = {"text": text, "holder": holder}
    response = render(request, "console/token.html", context)
    response["Cache-Control"] = "no-store"
    return response


def revoke_token(request: SignedInRequest, among: QuerySet[AccessToken]) -> None:
    """Revoke the token that a form names, if it is among those it may name."""
    asked = request.POST.get("token")
    token = next((one for one in among if str(one.pk) == asked), None)
    if token is None:
        raise NotFound("You have no such token.")
    access.revoke_token(token, principal=request.user)
    messages.success(request, f"The token {token.name} was revoked.")
