"""The first page: what waits for me, what moves, what failed, what happened."""

from __future__ import annotations

import datetime as dt

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from access import services as access
from access.models import AccessRequestStatus
from console.pages import SignedInRequest, page
from console.queries import recent_events, waiting_requests
from runners import services as runners
from runners.models import RunStatus
from serving import services as serving
from serving.models import Rollout

_RECENTLY = dt.timedelta(days=7)
_MAX = 8


@page
def home(request: SignedInRequest) -> HttpResponse:
    """Show what the person should look at now."""
    rollouts = Rollout.objects.exclude(status__in=Rollout.ENDED).filter(
        endpoint__in=serving.known_endpoints(request.user)
    )
    asked = access.visible_access_requests(principal=request.user)
    asked = asked.filter(status=AccessRequestStatus.PENDING)
    asked = asked.exclude(requester=request.user)
    failed = runners.visible_runs(request.user).filter(
        status=RunStatus.FAILED, ended_at__gte=timezone.now() - _RECENTLY
    )
    context = {
        "requests": waiting_requests(request.user),
        "access_requests": asked[:_MAX],
        "rollouts": rollouts.select_related("endpoint", "version", "from_version")[
            :_MAX
        ],
        "failed_runs": failed.order_by("-ended_at")[:_MAX],
        "events": recent_events(request.user),
    }
    return render(request, "console/home.html", context)
