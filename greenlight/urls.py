"""Every URL of the installation; what is not here is denied."""

from __future__ import annotations

from importlib.util import find_spec

from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, URLResolver, include, path, re_path
from rest_framework.request import Request
from rest_framework.views import APIView

from console.views import api
from core.errors import NotFound
from greenlight import openapi


def healthz(request: HttpRequest) -> JsonResponse:
    """Tell that this process answers; no database, so that it says what it says."""
    return JsonResponse({"status": "ok"})


class Unknown(APIView):
    """A path that no app serves, told in the words of every other refusal."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise NotFound(f"{request.path} is not served; /api/v1/schema lists what is.")


_apps = ["access", "registry", "approvals", "webhooks", "runners", "serving"]
_rest = [path("", include(f"{app}.urls")) for app in _apps if find_spec(f"{app}.urls")]

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz),
    path("api/v1/", include(_rest)),
    path("api/v1/schema", openapi.document, name="api-document"),
    path("api/v1/docs/", api.api, name="api"),
    re_path(r"^api/v1/", Unknown.as_view()),
    path("", include("mlflow_api.urls")),
]
if find_spec("console.urls"):
    urlpatterns.append(path("", include("console.urls")))
