"""What no client should send: each RPC, at both prefixes, refuses and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client

from access.models import User
from approvals import services as approvals
from registry.models import ModelVersion

PREFIXES = ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow")
NAME = "prod.fraud.scorer"
MODEL, VERSION = {"name": NAME}, {"name": NAME, "version": "1"}
TAG = {"key": "note", "value": "ok"}
# (method, path) -> a message that it would take
RPCS: dict[tuple[str, str], dict[str, str]] = {
    ("POST", "registered-models/create"): {"name": "prod.fraud.new"},
    ("GET", "registered-models/get"): MODEL,
    ("POST", "registered-models/rename"): {**MODEL, "new_name": "prod.fraud.b"},
    ("PATCH", "registered-models/update"): {**MODEL, "description": "d"},
    ("DELETE", "registered-models/delete"): MODEL,
    ("GET", "registered-models/search"): {"filter": "name = 'a'"},
    ("GET", "registered-models/get-latest-versions"): MODEL,
    ("POST", "registered-models/get-latest-versions"): MODEL,
    ("POST", "registered-models/set-tag"): {**MODEL, **TAG},
    ("DELETE", "registered-models/delete-tag"): {**MODEL, "key": "note"},
    ("GET", "registered-models/alias"): {**MODEL, "alias": "Challenger"},
    ("POST", "registered-models/alias"): {**VERSION, "alias": "New"},
    ("DELETE", "registered-models/alias"): {**MODEL, "alias": "Challenger"},
    ("POST", "model-versions/create"): {**MODEL, "source": f"models:/{NAME}/1"},
    ("GET", "model-versions/get"): VERSION,
    ("GET", "model-versions/get-download-uri"): VERSION,
    ("PATCH", "model-versions/update"): {**VERSION, "description": "d"},
    ("DELETE", "model-versions/delete"): VERSION,
    ("POST", "model-versions/transition-stage"): {**VERSION, "stage": "Staging"},
    ("GET", "model-versions/search"): {"filter": f"name = '{NAME}'"},
    ("POST", "model-versions/set-tag"): {**VERSION, **TAG},
    ("DELETE", "model-versions/delete-tag"): {**VERSION, "key": "note"},
}
NAMES = {
    "two levels": "fraud.scorer",
    "four levels": "prod.fraud.scorer.x",
    "an empty level": "prod..scorer",
    "a trailing dot": "prod.fraud.scorer.",
    "a leading dot": ".prod.fraud.scorer",
    "a slash": "prod.fraud.a/b",
    "a backslash": "prod.fraud.a\\b",
    "traversal": "prod.fraud.../../etc",
    "percent-encoding": "prod.fraud.%73corer",
    "double percent-encoding": "prod%252efraud%252escorer",
    "a bidi control": "prod.fraud.\u202erecros",
    "a zero-width space": "prod.fraud.scorer\u200b",
    "a full-width dot": "prod.fraud\uff0escorer",
    "a space": "prod.fraud. scorer",
    "a line break": "prod.fraud.scorer\n",
    "a case twin": "Prod.Fraud.Scorer",
    "257 characters": f"prod.fraud.{'a' * 246}",
    "a hundred thousand characters": "a" * 100_000,
    "a tombstone": "prod.fraud.scorer#1",
    "nothing": "",
}
NO_TEXTS = ("scorer\x00", "a\ud800b")
WRONG_TYPES: tuple[Any, ...] = (None, 1.5, True, ["a"], {"a": "b"})
# null is the same as leaving these out
OPTIONAL = frozenset({"description", "value"})
OVERSIZED = json.dumps({"name": NAME, "value": "a" * (11 * 2**20)}).encode()
DEEP = b'{"name": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"


def raw(message: Any) -> bytes:
    return json.dumps(message).encode()


def bad_queries(good: dict[str, str]) -> Iterator[tuple[str, str, bytes]]:
    """Yield (what is bad, query, body) for a GET."""
    first, value = next(iter(good.items()))
    query = urlencode(good)
    yield "a key given twice", f"{query}&{urlencode({first: value})}", b""
    yield "a camelCase key", f"{query}&modelId=1", b""
    yield "a capital", urlencode({first.title(): value}), b""
    yield "a body", query, raw(good)
    yield "a body alone", "", raw(good)
    for key in good.keys() - {"filter"}:
        yield f"no {key}", urlencode({k: v for k, v in good.items() if k != key}), b""
        yield f"a NUL in {key}", urlencode({**good, key: "a\x00"}), b""


def bad_bodies(good: dict[str, str]) -> Iterator[tuple[str, str, bytes]]:
    """Yield (what is bad, query, body) for a method with a body."""
    first, value = next(iter(good.items()))
    body = raw(good)
    yield "a query", urlencode(good), body
    yield "a query alone", urlencode(good), b""
    yield "double-encoded JSON", "", raw(body.decode())
    yield "a list", "", raw([good])
    yield "no JSON", "", b"{"
    yield "no UTF-8", "", b'{"name": "\xff"}'
    yield "NaN", "", body[:-1] + b', "x": NaN}'
    yield "a key given twice", "", body[:-1] + f', "{first}": "{value}"}}'.encode()
    yield "a camelCase key", "", raw({**good, "newName": "prod.fraud.c"})
    yield "camelCase inside", "", raw({**good, "tags": [{"Key": "a"}]})
    yield "an oversized body", "", OVERSIZED
    yield "a deep body", "", DEEP
    for key in good:
        for wrong in WRONG_TYPES[key in OPTIONAL :]:
            yield f"{key} = {wrong!r}", "", raw({**good, key: wrong})
        for text in NO_TEXTS:
            yield f"no text in {key}", "", raw({**good, key: text})


def bad_values(good: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (what is bad, message): well formed, and wrong."""
    for what, name in NAMES.items() if "name" in good else ():
        yield f"{what} in name", {**good, "name": name}
    for number in ("0x1", "-1", "1.0", "٣", "99999999999", " 1", "9" * 5000):
        if "version" in good:
            yield f"version {number[:9]}", {**good, "version": number}
    for alias in ("latest", "v1", "a b", "a" * 256, "Ch%61llenger", "\u202ea"):
        if "alias" in good:
            yield f"alias {alias[:9]}", {**good, "alias": alias}
    for source in SOURCES if "source" in good else ():
        yield f"source {source[:40]}", {**good, "source": source}


SOURCES = (
    "http://evil.example/model",
    "https://evil.example@127.0.0.1/model",
    "mlflow-artifacts://evil.example:80/1/models/x",
    "mlflow-artifacts:/1/models/../../x",
    "s3://bucket/model",
    "dbfs:/model",
    "file:///etc",
    "/etc",
    "..",
    "dummy-source",
    "runs:/../../etc",
    f"runs:/{'0' * 32}/model",
    f"runs://evil.example/{'0' * 32}/model",
    f"models:/m-{'0' * 32}",
    "models:/prod.fraud.scorer/latest",
    "models:/prod.fraud.scorer/Production",
    "models:/prod.fraud.scorer/99999999999999999999",
    "models:/prod.fraud.scorer@nobody",
    "models://evil.example/prod.fraud.scorer/1",
    "models:/" + "a" * 100_000 + "/1",
)


def rows() -> dict[str, int]:
    """Count everything that a registry RPC may write."""
    tables = [
        "registry_registeredmodel",
        "registry_modelversion",
        "registry_alias",
        "registry_formername",
        "approvals_approvalrequest",
        "events_event",
        "registered_models",
        "registered_model_tags",
        "registered_model_aliases",
        "model_versions",
        "model_version_tags",
    ]
    with connection.cursor() as cursor:
        counts = {}
        for table in tables:
            cursor.execute(f"SELECT COUNT(*) FROM {table}")
            counts[table] = cursor.fetchone()[0]
    return counts


@pytest.mark.parametrize(("method", "path"), RPCS)
def test_bad_input_is_refused_and_changes_nothing(
    version: ModelVersion,
    owner: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
    method: str,
    path: str,
) -> None:
    approvals.set_alias(version.model, "Challenger", version, principal=owner)
    headers, good = bearer(owner), RPCS[method, path]
    shapes = bad_queries(good) if method == "GET" else bad_bodies(good)
    requests = list(shapes)
    for what, message in bad_values(good):
        in_query = method == "GET"
        query = urlencode(message) if in_query else ""
        requests.append((what, query, b"" if in_query else raw(message)))
    before, wrong = rows(), []
    for prefix in PREFIXES:
        for what, query, body in requests:
            answer = client.generic(
                method,
                f"{prefix}/{path}{'?' * bool(query)}{query}",
                body,
                "application/json",
                headers=headers,
            )
            fields = answer.json() if answer.status_code < 500 else {}
            told = fields.get("error_code") and len(fields.get("message", "")) in range(
                10, 600
            )
            if not (400 <= answer.status_code < 500 and told):
                wrong.append((prefix, what, answer.status_code, str(fields)[:200]))
    assert not wrong
    assert rows() == before
