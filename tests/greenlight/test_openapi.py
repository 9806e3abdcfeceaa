"""The OpenAPI document: complete, and made without a warning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema

from console.views.api import api
from greenlight.openapi import document, made
from greenlight.urls import Unknown
from tests.openapi import template_of

METHODS = ("get", "post", "put", "patch", "delete")
# these take no body: what to do is in the path
BODILESS = {"cancellation_post", "redelivery_post", "rollout_command_post"}
BODILESS |= {"serving_token_post", "run_cancel_post", "access_request_withdraw_post"}
BODILESS |= {"disabling_post", "enabling_post", "ping_post"}  # of webhooks


def routes(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (route, view class) of everything below /api/v1/."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif route.startswith("api/v1/") and pattern.callback not in {document, api}:
            yield route, getattr(pattern.callback, "view_class", None)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, by_method in made()["paths"].items():
        for method, operation in by_method.items():
            yield path, method, operation


def test_it_is_made_without_warnings_and_is_valid(
    capsys: pytest.CaptureFixture[str],
) -> None:
    GENERATOR_STATS.reset()
    made.cache_clear()
    validate_schema(made())
    GENERATOR_STATS.emit_summary()
    assert capsys.readouterr().err == ""
    assert not GENERATOR_STATS


def test_every_route_and_method_is_in_it() -> None:
    served = {
        (template_of(route), method)
        for route, view in routes()
        if view is not Unknown
        for method in METHODS
        if hasattr(view, method)
    }
    assert len(served) > 60
    assert served == {(path, method) for path, method, _ in operations()}


def test_every_operation_tells_summary_input_and_answer() -> None:
    silent = []
    for _, method, operation in operations():
        name = operation["operationId"]
        answers = [
            answer
            for status, answer in operation["responses"].items()
            if status.startswith("2")
        ]
        shown = all(answer["description"] for answer in answers) or (
            "application/octet-stream" in str(answers)
        )
        takes = "requestBody" in operation or name in BODILESS
        if not operation.get("summary", "").endswith((".", ").")) or not shown:
            silent.append(name)
        if method in {"post", "put", "patch"} and not takes:
            silent.append(name)
    assert silent == []


def test_it_is_answered_to_anybody_as_json_and_yaml(client: Client) -> None:
    answered = client.get("/api/v1/schema")
    assert answered.json()["openapi"].startswith("3.1")
    told = client.get("/api/v1/schema?format=yaml")
    assert told["Content-Type"].startswith("application/yaml")
    assert b"openapi: 3.1" in told.content


def test_unknown_path_is_refused_in_json(client: Client) -> None:
    answered = client.delete("/api/v1/nothing/here")
    assert answered.status_code == 404
    assert answered.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_example_of_a_refusal_fits_the_error_shape(client: Client) -> None:
    refused = client.get("/api/v1/catalogs").json()
    schema = made()["components"]["schemas"]["Error"]
    jsonschema.validate(refused, schema)
    assert refused["error_code"] == "UNAUTHENTICATED"
