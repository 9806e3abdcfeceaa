"""The page of MLflow's routes: each one of the installed MLflow, and what we do with it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.urls import resolve

from greenlight.reference.markdown import code, table
from mlflow_api.messages import denied
from mlflow_api.tracking import ROUTES

_NOT_ROUTES = {"/", "/health", "/version"}  # ours are /, /healthz
_PREFIX = re.compile("^/(?:ajax-)?api/")
_OWNER, _SEES = "ownership", "to see the model"
_TAGS = "ownership or APPLY TAG"
_BYTES = "EXECUTE, or the experiment for files of runs"
# what the registry's own routes need, below /2.0/mlflow/
_NEEDS = {
    "registered-models/create": "CREATE MODEL on the schema",
    "registered-models/get": _SEES,
    "registered-models/search": "answers what one sees",
    "registered-models/get-latest-versions": _SEES,
    "registered-models/update": _OWNER,
    "registered-models/rename": "ownership, and CREATE MODEL on the schema",
    "registered-models/delete": "ownership, MANAGE, or to own a container",
    "registered-models/set-tag": _TAGS,
    "registered-models/delete-tag": _TAGS,
    "registered-models/alias": _OWNER,
    "GET registered-models/alias": _SEES,
    "model-versions/create": "ownership, or CREATE MODEL VERSION where the catalog delegates "
    "versions; and to read the source",
    "model-versions/get": _SEES,
    "model-versions/search": "answers what one sees",
    "model-versions/update": _OWNER,
    "model-versions/delete": "ownership, MANAGE, or to own a container",
    "model-versions/set-tag": _TAGS,
    "model-versions/delete-tag": _TAGS,
    "model-versions/get-download-uri": "EXECUTE",
    "model-versions/transition-stage": _SEES,
    "experiments/create": "one owns what one creates; in a schema CREATE EXPERIMENT",
    "experiments/update": "MANAGE of the experiment",
    "experiments/delete": "MANAGE of the experiment",
    "experiments/restore": "MANAGE of the experiment",
    "artifacts/list": "READ of the experiment",
    "get-artifact": "READ of the experiment",
    "logged-models/{model_id}/artifacts/directories": "READ of the experiment",
    "logged-models/{model_id}/artifacts/files": "READ of the experiment",
}
# served, and not as MLflow does it
_MAPPED = {
    "/2.0/mlflow/model-versions/get-download-uri": "a virtual URI of the governed store",
    "/2.0/mlflow/model-versions/create": "the bytes are copied into the governed store",
    "/2.0/mlflow/model-versions/transition-stage": "always refused: the message says how to "
    "set an alias instead",
    "/2.0/mlflow/registered-models/alias": "a protected alias answers 403 with the request's URL",
    "/2.0/mlflow/logged-models/{model_id}/tags": "the note of a registration is accepted, and dropped",
    "/2.0/mlflow/gateway-proxy": "a constant, for MLflow's own page alone",
    "/3.0/mlflow/ui-telemetry": "a constant, for MLflow's own page alone",
    "/3.0/mlflow/server-info": "told to anybody: no workspaces, no multipart",
}
_INTRODUCTION = """\
# MLflow, route by route

Every route of the installed MLflow {version}, below `/api` and `/ajax-api` alike, {count} in all. **Served** does what
MLflow does, after our check; **mapped** does it in our own way; **denied** answers 403, whoever asks. What the strictness of
requests means is in [MLflow's API](mlflow-api.md).
"""
_UNITY_CATALOG = """\
## Unity Catalog

No routes of MLflow, and served beside them, below `/api/2.1/unity-catalog`: [grants and owners](../howto/grant-permissions.md).
All else of Unity Catalog's API is denied.

"""
_OTHERS = "; of others: ownership, MANAGE, or to own a container"
_GRANTS = "{securable_type}/{full_name}"
UNITY_CATALOG = (
    ("GET", f"permissions/{_GRANTS}", f"own grants: to know of the object{_OTHERS}"),
    ("PATCH", f"permissions/{_GRANTS}", "ownership, MANAGE, or to own a container"),
    (
        "GET",
        f"effective-permissions/{_GRANTS}",
        f"own privileges: to know of the object{_OTHERS}",
    ),
    *(
        ("PATCH", f"{kind}/{{full_name}}", "ownership, MANAGE, or to own a container")
        for kind in ("catalogs", "schemas", "models")
    ),
)


@dataclass(frozen=True)
class Answered:
    """What becomes of one route: a word, and what it needs or does."""

    word: str
    note: str = ""


def page() -> str:
    """Return the page in Markdown."""
    import mlflow  # slow, and asked for by this page alone

    by_family: dict[str, list[tuple[str, str, str, str]]] = {}
    for path, methods in sorted(_plain_routes().items()):
        for method in sorted(methods):
            answered = answer_of(method, path)
            row = (method, code(path), answered.word, answered.note)
            by_family.setdefault(_family(path), []).append(row)
    count = sum(len(rows) for rows in by_family.values())
    parts = [_INTRODUCTION.format(version=mlflow.__version__, count=count)]
    header = ("method", "path", "", "needs, or does")
    served = [f for f in by_family if any(r[2] != "denied" for r in by_family[f])]
    parts += [
        f"## {family}\n\n{table(header, by_family[family])}"
        for family in sorted(by_family, key=lambda name: (name not in served, name))
    ]
    rows = [(m, code(path), "served", needs) for m, path, needs in UNITY_CATALOG]
    parts.append(f"{_UNITY_CATALOG}{table(header, rows)}")
    return "\n".join(parts)


@cache
def mlflow_routes() -> list[tuple[str, str]]:
    """Return (method, path with {parameters}) of every route, at both prefixes."""
    from mlflow.server import app
    from mlflow.server.fastapi_app import create_fastapi_app

    flask = [
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"OPTIONS"}
    ]
    fast = [
        (method, re.sub(r"{(\w+)(?::\w+)?}", r"{\1}", route.path))
        for route in create_fastapi_app(app).routes
        for method in getattr(route, "methods", None) or set()
    ]
    found = {(m, p) for m, p in flask + fast if p not in _NOT_ROUTES}
    found |= {("HEAD", p) for m, p in found if m == "GET"}
    twins = {(m, _PREFIX.sub("/api/", p)) for m, p in found}
    twins |= {(m, _PREFIX.sub("/ajax-api/", p)) for m, p in found}
    return sorted(found | twins)


def answer_of(method: str, path: str) -> Answered:
    """Tell what becomes of a route, named without the prefix of APIs."""
    view = resolve(re.sub(r"{\w+}", "x1", _whole(path))).func
    if view is denied or method not in _methods(view, method):
        constant = method == "GET" and _MAPPED.get(path, "").startswith("a constant")
        return Answered("mapped", _MAPPED[path]) if constant else Answered("denied")
    below = path.removeprefix("/2.0/mlflow/")
    needs = (
        _NEEDS.get(f"{method} {below}")
        or _NEEDS.get(below)
        or _needs_of_tracking(method, below)
    )
    if path.startswith("/2.0/mlflow-artifacts/artifacts"):
        needs = _BYTES
    if "/mpu/" in path:
        return Answered("mapped", "declined: the client then sends one PUT")
    if path in _MAPPED and (method, below) != ("GET", "registered-models/alias"):
        return Answered("mapped", "; ".join(filter(None, (needs, _MAPPED[path]))))
    return Answered("served", needs)


def _plain_routes() -> dict[str, set[str]]:
    """Return the methods of each path, with both prefixes left out, but for HEAD."""
    found: dict[str, set[str]] = {}
    for method, path in mlflow_routes():
        if method != "HEAD":
            found.setdefault(_PREFIX.sub("/", path), set()).add(method)
    return found


def _whole(path: str) -> str:
    return f"/api{path}" if re.match(r"/\d", path) else path


def _methods(view: Callable[..., Any], asked: str) -> set[str]:
    """Return the methods that a view of ours serves, which its closure knows."""
    inner = getattr(view, "__wrapped__", view)
    if inner.__name__ == "one_file":
        return {"GET", "PUT"}
    known = inspect.getclosurevars(inner).nonlocals
    if "by_method" in known:
        return set(known["by_method"])
    if known.get("path") in ROUTES:
        return set(ROUTES[known["path"]])
    return {"GET"} if "serve" in known else {asked}


def _needs_of_tracking(method: str, below: str) -> str:
    route = ROUTES.get(re.sub(r"{(\w+)}", r"<\1>", below), {})
    if method not in route:
        return ""
    subject, level = route[method]
    about = subject.__name__.replace("_", " ")
    if about == "anything":
        return "answers what one sees"
    return f"{level.name} of the experiment" + (
        ""
        if about.startswith("experiment")
        else f" of the {about.removeprefix('new ')}"
    )


def _family(path: str) -> str:
    parts = [part for part in path.split("/") if part and not part[0].isdigit()]
    if parts[0] == "mlflow" and len(parts) > 1:
        return parts[1].replace("{", "").replace("}", "")
    return parts[0]
