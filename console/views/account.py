"""One's own account: access tokens, mail and the theme."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from access import services as access
from access.models import AccessToken
from console import tokens
from console.pages import SignedInRequest, action, page

THEMES = ("auto", "light", "dark")
_A_YEAR = 365 * 86400


@page
def account(request: SignedInRequest) -> HttpResponse:
    """Show the person's tokens and settings."""
    mine = AccessToken.objects.filter(principal=request.user)
    context = {
        "tokens": mine.order_by("-created_at"),
        "services": request.user.service_principals.order_by("username"),
        "now": timezone.now(),
        "theme": request.COOKIES.get("theme", "auto"),
        "themes": THEMES,
        "mail_is_on": settings.MAIL_IS_ON,
    }
    return render(request, "console/account.html", context)


@action(shown_on=account)
def issue_token(request: SignedInRequest) -> HttpResponse:
    """Issue a token of one's own."""
    return tokens.issue_token(request, request.user)


@action(shown_on=account)
def revoke_token(request: SignedInRequest) -> HttpResponse:
    """Revoke one of the person's tokens."""
    mine = AccessToken.objects.filter(principal=request.user)
    tokens.revoke_token(request, mine)
    return redirect("console:account")


@action(shown_on=account)
def save_mail(request: SignedInRequest) -> HttpResponse:
    """Keep the person's address, and whether mail about approvals is wanted."""
    access.change_mail(
        request.user,
        email=request.POST.get("email", "").strip(),
        wants_mail="wants_mail" in request.POST,
        principal=request.user,
    )
    messages.success(request, "Your mail settings were saved.")
    return redirect("console:account")


@action(shown_on=account)
def choose_theme(request: SignedInRequest) -> HttpResponse:
    """Keep the theme in a cookie, so that the first paint has it."""
    theme = request.POST.get("theme", "")
    response = redirect("console:account")
    if theme in THEMES:
        response.set_cookie(
            "theme", theme, max_age=_A_YEAR, samesite="Lax", httponly=True
        )
    return response
