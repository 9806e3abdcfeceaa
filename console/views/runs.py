"""Training runs: the list and one run with the end of its log."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime

from access.authz import is_allowed
from access.privileges import Privilege
from console.pages import ENDED, SignedInRequest, action, page
from runners import services as runners
from runners.models import Attempt, LogChunk

PAGE_SIZE = 50
_LOG_CHUNKS = 32
_LOG_LINES = 200


@page
def runs(request: SignedInRequest) -> HttpResponse:
    """Show runs, newest first, page by page."""
    rows = runners.visible_runs(request.user).order_by("-created_at")
    within = request.GET.get("pipeline", "").strip()
    if within:
        rows = rows.filter(pipeline__full_name=within)
    before = parse_datetime(request.GET.get("before", "").replace(" ", "+"))
    if before:
        rows = rows.filter(created_at__lt=before)
    found = list(rows[: PAGE_SIZE + 1])
    context = {
        "runs": found[:PAGE_SIZE],
        "has_more": len(found) > PAGE_SIZE,
        "within": within,
    }
    return render(request, "console/runs.html", context)


@page
def run(request: SignedInRequest, run_id: UUID) -> HttpResponse:
    """Show one run; asked by htmx, only the part that moves."""
    found = runners.get_run(run_id, principal=request.user)
    attempt = found.attempts.last()
    registration = found.registrations.select_related("version__model").first()
    context = {
        "run": found,
        "attempt": attempt,
        "log": _log_tail(attempt) if attempt else "",
        "version": registration.version if registration else None,
        "parameters": sorted(found.parameters.items()),
        "may_cancel": not found.has_ended
        and not found.cancel_requested_at
        and is_allowed(request.user, Privilege.RUN_TRAINING, found.pipeline),
    }
    if not request.htmx:
        return render(request, "console/run.html", context)
    status = ENDED if found.has_ended else 200
    return render(request, "console/_run.html", context, status=status)


@action(shown_on=run)
def cancel_run(request: SignedInRequest, run_id: UUID) -> HttpResponse:
    """Ask for the end of a run."""
    found = runners.get_run(run_id, principal=request.user)
    runners.cancel_run(found, principal=request.user)
    messages.success(request, "The run will end.")
    return redirect("console:run", run_id)


def _log_tail(attempt: Attempt) -> str:
    """Return the last lines of an attempt's log; its first may be cut."""
    newest = LogChunk.objects.filter(attempt=attempt).order_by("-offset")[:_LOG_CHUNKS]
    data = b"".join(bytes(chunk.data) for chunk in reversed(newest))
    return "\n".join(data.decode(errors="replace").splitlines()[-_LOG_LINES:])
