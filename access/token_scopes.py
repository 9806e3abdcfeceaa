"""What a token may be used for: which scope admits which request.

Every request with a token passes here, and what no rule names needs `all`: a new
route is closed to narrow tokens until somebody opens it. A scope never gives a
right; what its principal may not do, no token of it does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from django.db import models

from core.errors import InvalidParameter, PermissionDenied


class TokenScope(models.TextChoices):
    ALL = "all", "everything that you may do"
    REGISTRY_READ = "registry:read", "read models, versions, experiments and files"
    REGISTRY_WRITE = "registry:write", "read and change them, ask for approvals"
    APPROVALS_DECIDE = "approvals:decide", "read approval requests, decide, check"
    RUNS_START = "runs:start", "start, watch and cancel trainings"
    ENDPOINTS_QUERY = "endpoints:query", "query endpoints"


ALL, READ, WRITE, DECIDE, RUN, QUERY = TokenScope
_IMPLIED = {READ: {WRITE}}

_GET = frozenset({"GET", "HEAD"})
_POST = frozenset({"POST"})
_CHANGE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MLFLOW = r"/(?:api|ajax-api|mlflow/ajax-api)/2\.0/mlflow"
_SEARCHES = (
    r"registered-models/get-latest-versions|experiments/search"
    r"|experiments/search-datasets|runs/search|logged-models/search"
)
_TAGS = r"tags(?:/.+)?"
_IN_MODEL = (
    rf"rename|{_TAGS}|versions(?:/[^/]+(?:/{_TAGS})?)?|aliases/[^/]+"  # no break-glass
)

# The first rule of whose methods and path a request is: the scope that admits it.
_RULES = [
    (methods, re.compile(path, re.DOTALL), scope)
    for methods, path, scope in (
        (_GET, rf"{_MLFLOW}(?:-artifacts)?/.+", READ),
        (_POST, rf"{_MLFLOW}/(?:{_SEARCHES})", READ),
        (_CHANGE, rf"{_MLFLOW}(?:-artifacts)?/.+", WRITE),
        (_GET, r"/mlflow/.*", READ),
        (_POST, r"/mlflow/graphql", READ),  # queries; mutations are not served
        (_GET, r"/api/v1/(?:catalogs|schemas|models)(?:/.+)?", READ),
        (_CHANGE, r"/api/v1/(?:catalogs|schemas)(?:/[^/]+)?", WRITE),
        (_CHANGE, rf"/api/v1/models(?:/[^/]+(?:/(?:{_IN_MODEL}))?)?", WRITE),
        (_GET, r"/api/v1/approvals(?:/[^/]+)?", DECIDE),
        (_POST, r"/api/v1/approvals/[^/]+/(?:decisions|checks)", DECIDE),
        (_POST, r"/api/v1/approvals(?:/[^/]+/cancel)?", WRITE),
        (_GET, r"/api/v1/(?:pipelines|runs)(?:/.+)?", RUN),
        (_POST, r"/api/v1/pipelines/[^/]+/runs", RUN),
        (_POST, r"/api/v1/runs/[^/]+/(?:cancel|retry)", RUN),
        (_GET, r"/api/v1/endpoints(?:/[^/]+)?", QUERY),
        (_POST, r"/api/v1/serving-token", QUERY),
    )
]


def scope_for(method: str, path: str) -> TokenScope:
    """Return the scope that admits a request; `all` where nothing narrower does."""
    for methods, pattern, scope in _RULES:
        if method in methods and pattern.fullmatch(path):
            return scope
    return ALL


def require_scope(held: Collection[str], method: str, path: str) -> None:
    """Refuse what a token's scopes do not admit. Raises PermissionDenied."""
    if ALL in held:
        return
    needed = scope_for(method, path)
    if needed in held or not _IMPLIED.get(needed, set()).isdisjoint(held):
        return
    what = f"the scope {needed.value} or all" if needed != ALL else "the scope all"
    raise PermissionDenied(
        f"This token does not reach that far: {method} {path} needs {what}, and it "
        f"has {', '.join(held) or 'none'}. Issue another token on your account page."
    )


def checked_scopes(scopes: Iterable[str] | None) -> list[str]:
    """Return the scopes to keep, in our order; None is everything.

    Raises InvalidParameter for an empty list and for a name that is none.
    """
    asked = {ALL.value} if scopes is None else set(scopes)
    known = ", ".join(TokenScope.values)
    if not asked:
        raise InvalidParameter(f"scopes must name at least one of {known}.")
    if unknown := sorted(asked - set(TokenScope.values)):
        raise InvalidParameter(
            f"scopes: {unknown[0][:80]!r} is unknown; there are {known}."
        )
    return [scope for scope in TokenScope.values if scope in asked]
