"""Approval requests: the inbox, and the page on which one is decided."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime

from access.authz import is_allowed
from access.models import User
from access.privileges import Privilege
from access.services import get_principal
from approvals import gate
from approvals import services as approvals
from approvals.models import ApprovalRequest, Verdict, Via
from approvals.reads import get_decision
from console.pages import ENDED, SignedInRequest, action, page
from console.queries import requests_to_decide, visible_requests
from console.requested import (
    checks_of,
    decisions_of,
    evidence_shown,
    plan_lines,
    voices_of,
    why_silent,
)
from core.errors import InvalidParameter, NotFound

PAGE_SIZE = 30
_TABS = (("mine", "To decide"), ("asked", "Asked by me"), ("all", "All"))


@page
def requests(request: SignedInRequest) -> HttpResponse:
    """Show approval requests, newest first, page by page."""
    shown = request.GET.get("show", "mine")
    rows = _rows_of_tab(shown, request.user)
    before = parse_datetime(request.GET.get("before", "").replace(" ", "+"))
    if before:
        rows = rows.filter(opened_at__lt=before)
    found = list(rows[: PAGE_SIZE + 1])
    context = {
        "requests": found[:PAGE_SIZE],
        "has_more": len(found) > PAGE_SIZE,
        "shown": shown,
        "tabs": _TABS,
    }
    return render(request, "console/requests.html", context)


@page
def request(request: SignedInRequest, request_id: UUID) -> HttpResponse:
    """Show one request; asked by htmx, only the part that moves."""
    found = _request(request.user, request_id)
    conditions = gate.conditions(found)
    context = {
        "one": found,
        "has_ended": not found.is_open,
        "conditions": sorted(conditions, key=lambda one: one.is_met),
        "unmet": [one for one in conditions if not one.is_met],
        "checks": checks_of(found),
        "decisions": decisions_of(found, request.user),
    }
    if request.htmx:
        return _live_part(request, context)
    return render(request, "console/request.html", context | _whole(request, found))


def _whole(request: SignedInRequest, found: ApprovalRequest) -> dict[str, Any]:
    """Return what the page shows beside the part that moves."""
    context: dict[str, Any] = {
        "policies": found.policy_snapshot.get("policies", []),
        "evidence": evidence_shown(found),
        "plan": plan_lines(found.rollout_plan),
        "comments": found.comments.select_related("author"),
        "may_comment": approvals.may_comment(found, principal=request.user),
    }
    if found.is_open:
        context["voices"] = voices_of(found, request.user)
        context["why_not"] = why_silent(found, request.user)
        context["may_cancel"] = _may_cancel(found, request.user)
        context["may_bypass"] = approvals.may_break_glass(
            found.model, found.alias, principal=request.user
        )
    return context


def _live_part(request: SignedInRequest, context: dict[str, Any]) -> HttpResponse:
    """Answer a poll; when the request was closed, have the whole page loaded anew."""
    if not context["has_ended"]:
        return render(request, "console/_request.html", context)
    response = render(request, "console/_request.html", context, status=ENDED)
    response["HX-Refresh"] = "true"
    return response


@action(shown_on=request)
def decide(request: SignedInRequest, request_id: UUID) -> HttpResponse:
    """Approve or reject the request, for the digest that the form showed."""
    verdict = request.POST.get("verdict", "")
    if verdict not in Verdict.values:
        raise InvalidParameter("Press Approve or Reject.")
    found = _request(request.user, request_id)
    approvals.decide(
        found,
        verdict,
        digest=request.POST.get("digest", ""),
        binding=request.POST.get("binding", ""),
        on_behalf_of=_voice(request),
        comment=request.POST.get("comment", "").strip(),
        via=Via.CONSOLE,
        principal=request.user,
    )
    done = "approved" if verdict == Verdict.APPROVE else "rejected"
    messages.success(request, f"You {done} {found.full_name}.")
    return redirect("console:request", request_id)


@action(shown_on=request)
def revoke(request: SignedInRequest, request_id: UUID) -> HttpResponse:
    """Take back one's own decision."""
    found = _request(request.user, request_id)
    try:
        decision_id = UUID(request.POST.get("decision", ""))
    except ValueError as error:
        raise InvalidParameter("decision: choose one of the list.") from error
    decision = get_decision(found, decision_id)
    approvals.revoke_decision(decision, principal=request.user)
    messages.success(request, "The decision was taken back.")
    return redirect("console:request", request_id)


@action(shown_on=request)
def comment(request: SignedInRequest, request_id: UUID) -> HttpResponse:
    """Add to the thread of the request."""
    found = _request(request.user, request_id)
    approvals.comment_on(found, request.POST.get("text", ""), principal=request.user)
    return redirect("console:request", request_id)


@action(shown_on=request)
def bypass(request: SignedInRequest, request_id: UUID) -> HttpResponse:
    """Break the glass for the version that was asked for."""
    found = _request(request.user, request_id)
    approvals.break_glass(
        found.model,
        found.alias,
        found.version,
        reason=request.POST.get("reason", ""),
        ticket=request.POST.get("ticket", ""),
        principal=request.user,
    )
    messages.success(request, f"You broke the glass for {found.full_name}.")
    return redirect("console:request", request_id)


@action(shown_on=request)
def cancel(request: SignedInRequest, request_id: UUID) -> HttpResponse:
    """Withdraw one's own request."""
    found = _request(request.user, request_id)
    approvals.cancel(found, principal=request.user)
    messages.success(request, f"The request for {found.full_name} was withdrawn.")
    return redirect("console:request", request_id)


def _rows_of_tab(tab: str, person: User) -> QuerySet[ApprovalRequest]:
    if tab == "mine":
        return requests_to_decide(person)
    rows = visible_requests(person)
    return rows.filter(requester=person) if tab == "asked" else rows


def _voice(request: SignedInRequest) -> User | None:
    """Return in whose name the form decides, when not in one's own."""
    name = request.POST.get("voice", "")
    if name in ("", request.user.username):
        return None
    return get_principal(name)


def _request(person: User, request_id: UUID) -> ApprovalRequest:
    found = visible_requests(person).filter(pk=request_id).first()
    if found is None:
        raise NotFound("There is no such request, or none that you may see.")
    return found


def _may_cancel(approval: ApprovalRequest, person: User) -> bool:
    if person.person == approval.requester.person:
        return True
    return is_allowed(person, Privilege.MANAGE, approval.model)
