"""Approval requests: the inbox, and the page on which one is decided."""

from __future__ import annotations

from dataclasses import dataclass
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
from approvals import gate
from approvals import services as approvals
from approvals.models import ApprovalRequest, Check, Verdict, Via
from console.pages import ENDED, SignedInRequest, action, page
from console.queries import visible_requests, waiting_requests
from core.errors import InvalidParameter, NotFound

PAGE_SIZE = 30
_TABS = (("mine", "To decide"), ("asked", "Asked by me"), ("all", "All"))


@dataclass(frozen=True)
class CheckLine:
    """A check that the policy requires or somebody reported, with its last report."""

    name: str
    report: Check | None

    @property
    def state(self) -> str:
        if self.report is None:
            return "pending"
        return "passed" if self.report.passed else "failed"


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
    context = {
        "one": found,
        "has_ended": not found.is_open,
        "unmet": found.unmet(),
        "checks": _checks(found),
        "decisions": found.decisions.select_related("approver"),
    }
    if request.htmx:
        return _live_part(request, context)
    context["policies"] = found.policy_snapshot.get("policies", [])
    if found.is_open:
        context["why_not"] = _why_not(found, request.user)
        context["may_cancel"] = _may_cancel(found, request.user)
    return render(request, "console/request.html", context)


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
        comment=request.POST.get("comment", "").strip(),
        via=Via.CONSOLE,
        principal=request.user,
    )
    done = "approved" if verdict == Verdict.APPROVE else "rejected"
    messages.success(request, f"You {done} {found.full_name}.")
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
        return waiting_requests(person)
    rows = visible_requests(person)
    return rows.filter(requester=person) if tab == "asked" else rows


def _request(person: User, request_id: UUID) -> ApprovalRequest:
    found = visible_requests(person).filter(pk=request_id).first()
    if found is None:
        raise NotFound("There is no such request, or none that you may see.")
    return found


def _why_not(approval: ApprovalRequest, person: User) -> str | None:
    """Say why the person gets no form, or None."""
    earlier = approval.decisions.filter(cleared_at=None, person=person.person).first()
    if earlier:
        return f"You decided: {earlier.verdict}. A decision is final."
    return gate.why_not(approval, person)


def _may_cancel(approval: ApprovalRequest, person: User) -> bool:
    if person.person == approval.requester.person:
        return True
    return is_allowed(person, Privilege.MANAGE, approval.model)


def _checks(approval: ApprovalRequest) -> list[CheckLine]:
    latest = gate.latest_checks(approval)
    policies = approval.policy_snapshot.get("policies", [])
    required = [check["name"] for policy in policies for check in policy["checks"]]
    names = dict.fromkeys([*required, *latest])
    return [CheckLine(name, latest.get(name)) for name in names]
