"""What every page shares: sign-in, and a domain error shown as a page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from django.contrib.auth.views import redirect_to_login
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_htmx.middleware import HtmxDetails

from access.models import User
from core.callers import note_refusal
from core.errors import DomainError, InvalidParameter, NotFound


class SignedInRequest(HttpRequest):
    """A request whose user is known."""

    user: User
    htmx: HtmxDetails


# htmx stops polling at this status.
ENDED = 286

P = ParamSpec("P")
Row = TypeVar("Row", bound=Model)
View = Callable[Concatenate[SignedInRequest, P], HttpResponse]
PlainView = Callable[Concatenate[HttpRequest, P], HttpResponse]


def page(view: View[P]) -> PlainView[P]:
    """Make a page of a function: for signed-in people, with errors as pages."""

    @wraps(view)
    def wrapped(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        try:
            return view(request, *args, **kwargs)  # type: ignore[arg-type]  # the user was checked
        except DomainError as error:
            return error_page(request, error)

    return wrapped


def action(shown_on: PlainView[P]) -> Callable[[View[P]], PlainView[P]]:
    """Make an action of a function: POST only, and a refusal is told on its page.

    Whoever opens the action's address by hand sees that page.
    """

    def decorate(view: View[P]) -> PlainView[P]:
        @wraps(view)
        def act(
            request: SignedInRequest, /, *args: P.args, **kwargs: P.kwargs
        ) -> HttpResponse:
            if request.method != "POST":
                return shown_on(request, *args, **kwargs)
            try:
                return view(request, *args, **kwargs)
            except DomainError as error:
                return refused(request, error, shown_on, *args, **kwargs)

        return page(act)

    return decorate


def refused(
    request: HttpRequest,
    error: DomainError,
    shown_on: PlainView[P],
    *args: P.args,
    **kwargs: P.kwargs,
) -> HttpResponse:
    """Show the page again with the error on top, and answer with its status."""
    note_refusal(error)
    request.refusal = error  # type: ignore[attr-defined]  # read by console/base.html
    response = shown_on(request, *args, **kwargs)
    response.status_code = max(response.status_code, error.status_code)
    return response


def check_typed(request: SignedInRequest, full_name: str) -> None:
    """Refuse a destructive act whose object was not typed. Raises InvalidParameter."""
    if request.POST.get("typed", "").strip() != full_name:
        raise InvalidParameter(f"Type {full_name} to confirm.")


def error_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    note_refusal(error)
    context: dict[str, Any] = {"error": error, "asked_for": _object_of(request)}
    return render(request, "console/error.html", context, status=error.status_code)


def _object_of(request: HttpRequest) -> tuple[str, str] | None:
    """Return kind and full name of what an address is about, for who may ask for it."""
    match = request.resolver_match
    if match is None:
        return None
    parts = {key: str(value) for key, value in match.kwargs.items()}
    if "full_name" in parts:
        # the list that the address lies in: /pipelines/<full name>/
        listed = request.path.split("/")[1].removesuffix("s")
        return parts.get("kind", listed), parts["full_name"]
    kinds = [kind for kind in ("catalog", "schema", "model") if kind in parts]
    return (kinds[-1], ".".join(parts[kind] for kind in kinds)) if kinds else None


def visible_or_404(
    rows: QuerySet[Row], request: SignedInRequest, **lookup: object
) -> Row:
    """Return the row of a lookup if the person may see it. Raises NotFound."""
    found = rows.visible(request.user).filter(**lookup).first()  # type: ignore[attr-defined]  # a SecurableQuerySet
    if found is None:
        kind = rows.model._meta.verbose_name
        error = NotFound(f"There is no such {kind}, or none that you may see.")
        raise error.telling(find=lambda: rows.filter(**lookup).first())
    return cast("Row", found)
