"""Sign in, sign out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login, logout
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from access.lockout import require_unlocked
from core.callers import note_refusal
from core.errors import BadCredential, TooManyAttempts


@sensitive_post_parameters("password")
def sign_in(request: HttpRequest) -> HttpResponse:
    """Let a person with a password in, and on to where they wanted to go."""
    target = _safe_target(request)
    if request.user.is_authenticated:
        return redirect(target)
    form = AuthenticationForm(request, data=request.POST or None)
    if request.method == "POST" and form.is_valid():
        login(request, form.get_user())
        return redirect(target)
    context: dict[str, Any] = {"form": form, "next": target}
    status = 403 if form.errors else 200
    if form.errors:
        _note(request)
    try:
        require_unlocked(request, request.POST.get("username", ""))
    except TooManyAttempts as error:
        context["locked"], status = error.message, error.status_code
    return render(request, "console/sign_in.html", context, status=status)


def _note(request: HttpRequest) -> None:
    """Let the audit log know of a sign-in that failed."""
    name = request.POST.get("username", "")
    note_refusal(BadCredential("Wrong user name or password.").telling(name=name))


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("console:sign_in")


def _safe_target(request: HttpRequest) -> str:
    """Return where to go after signing in, if it is a page of ours."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if is_ours else "/"
