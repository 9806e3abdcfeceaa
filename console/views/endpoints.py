"""Endpoints: the traffic, the rollout that moves it, and the levers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from access.authz import is_allowed, is_browse_only, require_details
from access.conditions import detailed_among
from access.privileges import Privilege
from console.lists import page_by_name
from console.pages import ENDED, SignedInRequest, page, refused
from console.queries import recent_events_of
from console.traffic import problems_of, shares_of, steps_of
from core.errors import Conflict, DomainError, NotFound, unseen
from core.states import can_transition
from registry import services as registry
from serving import services as serving
from serving.models import Endpoint, ModelServer, Rollout, RolloutStatus, ServerStatus

S = RolloutStatus
_SETTLING = (ServerStatus.STARTING, ServerStatus.DRAINING)


@dataclass(frozen=True)
class Lever:
    """One way to steer traffic: how it is offered and confirmed, and its service."""

    verb: str
    icon: str
    words: str
    effect: str
    act: Callable[..., Any]
    tone: str = ""


_LEVERS = {
    lever.verb: lever
    for lever in (
        Lever(
            "promote",
            "forward",
            "Promote",
            "The rollout goes to its next step now.",
            serving.promote,
            "go",
        ),
        Lever(
            "promote-full",
            "forward",
            "Promote fully",
            "The remaining steps are skipped: all traffic goes to the new version now.",
            serving.promote_full,
        ),
        Lever(
            "pause",
            "pause",
            "Pause",
            "The rollout stays where it is; its weights do not change.",
            serving.pause,
        ),
        Lever(
            "resume",
            "play",
            "Resume",
            "The rollout goes on; the time of its step begins anew.",
            serving.resume,
            "go",
        ),
        Lever(
            "abort",
            "stop",
            "Abort",
            "All traffic goes back to the version before at once, and the alias with it.",
            serving.abort,
            "bad",
        ),
        Lever(
            "rollback",
            "undo",
            "Roll back",
            "All traffic returns to the version that had it before, and the alias with it.",
            serving.rollback,
            "bad",
        ),
    )
}


@page
def endpoints(request: SignedInRequest) -> HttpResponse:
    """Show the endpoints that the person may see, with their traffic."""
    rows = serving.visible_endpoints(request.user)
    shown = page_by_name(rows.prefetch_related("routes__version"), request)
    ids = [row.pk for row in shown["rows"]]
    active = Rollout.objects.exclude(status__in=Rollout.ENDED).filter(endpoint__in=ids)
    moving = dict(active.values_list("endpoint_id", "status"))
    context = {
        **shown,
        "endpoints": [(row, moving.get(row.pk)) for row in shown["rows"]],
        "detailed": detailed_among(request.user, Endpoint, ids),
    }
    return render(request, "console/endpoints.html", context)


@page
def endpoint(request: SignedInRequest, full_name: str) -> HttpResponse:
    """Show one endpoint; asked by htmx, only the part that moves."""
    found = _endpoint(request, full_name)
    if is_browse_only(request.user, found):
        return render(request, "console/browsed.html", {"object": found})
    context = _live_context(request, found)
    if request.htmx:
        status = 200 if context["is_live"] else ENDED
        return render(request, "console/_endpoint.html", context, status=status)
    context["events"] = recent_events_of(found)
    return render(request, "console/endpoint.html", context)


@page
def steer(request: SignedInRequest, full_name: str, verb: str) -> HttpResponse:
    """Ask whether a lever is meant; on POST, pull it."""
    found = _endpoint(request, full_name)
    require_details(request.user, found)
    lever = _LEVERS.get(verb)
    if lever is None:
        raise NotFound(f"An endpoint cannot be steered by {verb!r}.")
    if request.method != "POST":
        context = {"endpoint": found, "lever": lever, "rollout": _latest(found)}
        return render(request, "console/confirm.html", context)
    try:
        _pull(lever, found, request)
    except DomainError as error:
        return refused(request, error, endpoint, full_name)
    messages.success(request, f"{lever.words}: done.")
    return redirect("console:endpoint", full_name)


def _pull(lever: Lever, endpoint: Endpoint, request: SignedInRequest) -> None:
    if lever.act is serving.rollback:
        serving.rollback(endpoint, principal=request.user)
        return
    rollout = _latest(endpoint)
    if rollout is None or str(rollout.pk) != request.POST.get("rollout"):
        raise Conflict("Another rollout began meanwhile; look at it first.")
    lever.act(rollout, principal=request.user)


def _live_context(request: SignedInRequest, endpoint: Endpoint) -> dict[str, Any]:
    rollout = _latest(endpoint)
    servers = list(
        endpoint.servers.filter(status__in=ModelServer.LIVE).select_related("version")
    )
    routes = list(endpoint.routes.select_related("version"))
    may_steer = is_allowed(request.user, Privilege.SHIFT_TRAFFIC, endpoint)
    alias = registry.get_alias(endpoint.model, endpoint.alias)
    return {
        "endpoint": endpoint,
        "alias": alias,
        "rollout": rollout,
        "steps": steps_of(rollout) if rollout else [],
        "levers": _legal_levers(rollout) if may_steer else [],
        "shares": shares_of(endpoint, routes),
        "problems": problems_of(endpoint),
        "servers": servers,
        "next_at": rollout.next_at if rollout and _is_ahead(rollout.next_at) else None,
        "is_live": (rollout is not None and rollout.is_active)
        or any(server.status in _SETTLING for server in servers),
    }


def _is_ahead(moment: dt.datetime | None) -> bool:
    return moment is not None and moment > timezone.now()


def _legal_levers(rollout: Rollout | None) -> list[Lever]:
    """Return the levers that the state of the rollout allows."""
    if rollout is None:
        return []
    if not rollout.is_active:
        return [_LEVERS["rollback"]] if rollout.status == S.SUCCEEDED else []
    at = rollout.paused_from or rollout.status
    legal = {
        "promote": at == S.STEP,
        "promote-full": at in {S.PREPARING, S.STEP},
        "pause": can_transition(rollout, S.PAUSED),
        "resume": rollout.status == S.PAUSED,
        "abort": can_transition(rollout, S.ROLLING_BACK),
    }
    return [_LEVERS[verb] for verb, is_legal in legal.items() if is_legal]


def _latest(endpoint: Endpoint) -> Rollout | None:
    rows = endpoint.rollouts.select_related("version", "from_version", "aborted_by")
    found = rows.first()
    if found is not None:
        found.endpoint = endpoint
    return found


def _endpoint(request: SignedInRequest, full_name: str) -> Endpoint:
    rows = serving.visible_endpoints(request.user).filter(full_name=full_name)
    found = rows.first()
    if found is None:
        raise unseen("endpoint", full_name)
    return found
