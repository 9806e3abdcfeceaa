"""Search over what the person may see."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render

from console.pages import SignedInRequest, page
from console.search import find_catalogs, find_models, find_schemas, find_versions

PAGE_SIZE = 25
_KINDS = {
    "models": find_models,
    "versions": find_versions,
    "schemas": find_schemas,
    "catalogs": find_catalogs,
}


@page
def search(request: SignedInRequest) -> HttpResponse:
    """Show what of one kind contains the text, page by page."""
    text = request.GET.get("q", "").strip()[:200]
    shown = request.GET.get("kind", "models")
    find = _KINDS.get(shown, find_models)
    after = request.GET.get("after", "")
    found = find(text, after, PAGE_SIZE + 1, request.user) if text else []
    context = {
        "text": text,
        "shown": shown,
        "kinds": [(kind, kind.capitalize()) for kind in _KINDS],
        "rows": found[:PAGE_SIZE],
        "has_more": len(found) > PAGE_SIZE,
    }
    return render(request, "console/search.html", context)
