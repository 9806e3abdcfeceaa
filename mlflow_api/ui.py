"""MLflow's own web pages at /mlflow/, for people who are signed in to the console.

Its page calls everything relative to itself, so all that a browser's session may
reach lies below /mlflow/; elsewhere a session counts for nothing, only a token.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from csp.decorators import csp
from django.contrib.auth.views import redirect_to_login
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
)
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe
from django.views.static import serve

from core.errors import PermissionDenied
from mlflow_api.messages import answer, caller

_YEAR_SECONDS = 31_536_000
# What MLflow's page needs beyond ours: styles made by script, images and workers
# from memory, and frames of its own in which it shows a file.
_POLICY = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'", "'unsafe-inline'"],
    "img-src": ["'self'", "data:", "blob:"],
    "font-src": ["'self'", "data:"],
    "connect-src": ["'self'"],
    "worker-src": ["'self'", "blob:"],
    "frame-src": ["'self'", "blob:"],
    "manifest-src": ["'self'"],
    "form-action": ["'self'"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}


@require_safe
@csp(_POLICY)
def page(request: HttpRequest) -> HttpResponseBase:
    """Serve the page of the installed MLflow; send others to sign in first."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    index = _build() / "index.html"
    if not index.is_file():
        raise Http404("The installed mlflow package has no web pages.")
    response = HttpResponse(index.read_bytes())
    response["Cache-Control"] = "no-cache"
    return response


@require_safe
def static_file(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve scripts, styles and pictures of the installed MLflow, and no page."""
    if ".." in path or path.endswith((".html", ".txt")):
        raise Http404("Not a part of MLflow's page.")
    response: FileResponse | HttpResponse = serve(request, path, str(_build()))
    if path.startswith("static/") and response.status_code == 200:
        # a name holds a hash of what is in the file
        response["Cache-Control"] = f"public, max-age={_YEAR_SECONDS}, immutable"
    return response


@answer
def chatter(request: HttpRequest) -> HttpResponse:
    """Answer what the page always asks of parts that we do not serve: there is none."""
    caller(request)
    if request.method != "GET":
        raise PermissionDenied(f"{request.method} {request.path} is not served.")
    return JsonResponse(CHATTER[request.path_info.removeprefix("/mlflow/ajax-api/")])


# An error here would be a red note on every page.
CHATTER: dict[str, dict[str, object]] = {
    "2.0/mlflow/gateway-proxy": {"endpoints": []},
    "3.0/mlflow/ui-telemetry": {
        "disable_ui_telemetry": True,
        "disable_ui_events": [],
        "ui_rollout_percentage": 0,
    },
}


def _build() -> Path:
    found = find_spec("mlflow")
    if found is None or found.origin is None:
        raise Http404("The mlflow package is not installed.")
    return Path(found.origin).parent / "server" / "js" / "build"
