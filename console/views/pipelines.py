"""Pipelines: the list, one with its last runs, and the form that starts a run."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render

from access.authz import is_allowed, is_browse_only
from access.conditions import detailed_among
from access.privileges import Privilege
from console.lists import page_by_name
from console.pages import SignedInRequest, action, page
from console.strips import strip_of, strips_of
from core.errors import InvalidParameter
from registry.models import RegisteredModel
from runners import services as runners
from runners.models import Dataset, Pipeline

RUNS_SHOWN = 20


@page
def pipelines(request: SignedInRequest) -> HttpResponse:
    """Show the pipelines that the person sees, each with its last runs."""
    shown = page_by_name(runners.visible_pipelines(request.user), request)
    ids = [row.pk for row in shown["rows"]]
    strips = strips_of(ids, request.user)
    context = {
        **shown,
        "pipelines": [(row, strips.get(row.pk)) for row in shown["rows"]],
        "detailed": detailed_among(request.user, Pipeline, ids),
    }
    return render(request, "console/pipelines.html", context)


@page
def pipeline(request: SignedInRequest, full_name: str) -> HttpResponse:
    """Show one pipeline: its last runs, what it trains, and what a run needs."""
    found = runners.get_pipeline(full_name, principal=request.user)
    if is_browse_only(request.user, found):
        return render(request, "console/browsed.html", {"object": found})
    runs = runners.visible_runs(request.user).filter(pipeline=found)
    newest = list(runs.order_by("-created_at")[:RUNS_SHOWN])
    model = RegisteredModel.objects.filter(full_name=found.target_model)
    datasets = Dataset.objects.detailed(request.user)
    context = {
        "pipeline": found,
        "runs": newest,
        "strip": strip_of(newest[::-1]) if newest else None,
        "may_start": is_allowed(request.user, Privilege.RUN_TRAINING, found),
        "model": model.visible(request.user).first(),
        "dataset": datasets.filter(pipelines=found).first(),
        "needs": runners.preflight(found),
        "parameters": sorted(found.parameters.items()),
        "typed": request.POST,
        "key": request.POST.get("key") or uuid.uuid4().hex,
    }
    return render(request, "console/pipeline.html", context)


@action(shown_on=pipeline)
def start_run(request: SignedInRequest, full_name: str) -> HttpResponse:
    """Start a run; sent twice, the form starts one."""
    found = runners.get_pipeline(full_name, principal=request.user)
    run = runners.start_run(
        found,
        version=request.POST.get("version", "").strip(),
        dataset=request.POST.get("dataset", "").strip(),
        snapshot=request.POST.get("snapshot", "").strip(),
        parameters=_read_parameters(request.POST),
        idempotency_key=request.POST.get("key", "")[:128],
        principal=request.user,
    )
    messages.success(request, "The run waits for a worker.")
    return redirect("console:run", run.pk)


def _read_parameters(sent: QueryDict) -> dict[str, str]:
    """Read a line `NAME=value` for each parameter."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, sent.get("parameters", "").splitlines())):
        name, equals, value = line.partition("=")
        if not equals:
            raise InvalidParameter(f"parameters: write {line!r} as NAME=value.")
        found[name.strip()] = value.strip()
    return found
