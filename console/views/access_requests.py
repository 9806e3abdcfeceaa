"""Ask for access to what one knows of; answer what others ask of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from access import services as access
from access.models import AccessRequest, AccessRequestStatus
from access.privileges import GRANTABLE, Privilege
from access.securables import kind_named
from console.pages import SignedInRequest, action, page
from core.errors import InvalidParameter, NotFound

PAGE_SIZE = 50
_TABS = (("answer", "To answer"), ("asked", "Asked by me"), ("all", "All"))
_VERBS: dict[str, tuple[str, Callable[..., Any]]] = {
    "grant": ("Granted", access.grant_request),
    "decline": ("Declined", access.decline_request),
}


@page
def access_requests(request: SignedInRequest) -> HttpResponse:
    """Show what waits for the person's answer, and what the person asked for."""
    shown = request.GET.get("show", "answer")
    rows = access.visible_access_requests(principal=request.user)
    if shown == "answer":
        rows = rows.filter(status=AccessRequestStatus.PENDING)
        rows = rows.exclude(requester=request.user)
    elif shown == "asked":
        rows = rows.filter(requester=request.user)
    found = list(rows[: PAGE_SIZE + 1])
    context = {
        "requests": [(row, _labels(row)) for row in found[:PAGE_SIZE]],
        "has_more": len(found) > PAGE_SIZE,
        "shown": shown,
        "tabs": _TABS,
    }
    return render(request, "console/access_requests.html", context)


@page
def ask(request: SignedInRequest) -> HttpResponse:
    """Show the form that asks for privileges on an object, whether it is there or not."""
    sent = request.POST if request.method == "POST" else request.GET
    kind = sent.get("kind", "model")
    context = {
        "kind": kind,
        "full_name": sent.get("full_name", ""),
        "reason": sent.get("reason", ""),
        "chosen": sent.getlist("add"),
        "privileges": GRANTABLE[kind_named(kind)._meta.model_name or ""],
    }
    return render(request, "console/ask_access.html", context)


@action(shown_on=ask)
def send(request: SignedInRequest) -> HttpResponse:
    """Ask whoever manages the object; the answer is the same if there is none."""
    full_name = request.POST.get("full_name", "").strip()
    if not full_name:
        raise InvalidParameter("full_name: say what you need.")
    access.request_access(
        request.POST.get("kind", ""),
        full_name,
        request.POST.getlist("add"),
        reason=request.POST.get("reason", "").strip(),
        principal=request.user,
    )
    messages.success(request, f"You asked for access to {full_name}.")
    return _to_list("asked")


@action(shown_on=lambda request, request_id, verb: access_requests(request))
def answer(request: SignedInRequest, request_id: UUID, verb: str) -> HttpResponse:
    """Grant or decline what somebody asked for, or withdraw one's own wish."""
    found = access.get_access_request(request_id, principal=request.user)
    if verb == "withdraw":
        access.withdraw_request(found, principal=request.user)
        messages.success(request, f"You no longer ask for {found.full_name}.")
        return _to_list("asked")
    if verb not in _VERBS:
        raise NotFound(f"A request for access cannot be answered by {verb!r}.")
    done, act = _VERBS[verb]
    words = request.POST.get("answer", "").strip()
    act(found, answer=words, principal=request.user)
    messages.success(request, f"{done}: {found.requester} on {found.full_name}.")
    return _to_list("answer")


def _to_list(shown: str) -> HttpResponse:
    response = redirect("console:access_requests")
    response["Location"] += f"?show={shown}"
    return response


def _labels(row: AccessRequest) -> str:
    return ", ".join(Privilege(value).label for value in row.privileges)
