"""The REST API to read and to try, by Swagger UI from our own server."""

from __future__ import annotations

from csp.decorators import csp_update
from django.http import HttpResponse
from django.shortcuts import render

from console.pages import SignedInRequest, page


# its style sheet draws arrows from `data:`
@csp_update({"img-src": ["data:"]})
@page
def api(request: SignedInRequest) -> HttpResponse:
    """Show every operation of the REST API, and call it as the person."""
    return render(request, "console/api.html")
