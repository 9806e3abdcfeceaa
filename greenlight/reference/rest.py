"""The page of our REST, from the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from greenlight.openapi import made
from greenlight.reference.markdown import code, table

_INTRODUCTION = """\
# REST

Below `/api/v1/`, with JSON and a token: `Authorization: Bearer gl_…`. A refusal is always
[Error](#error) with a 4xx status; what you may not see answers 404. Lists come in pages: ask again with `next_page_token`
as `page_token` while there is one. The same as an OpenAPI 3.1 document: `GET /api/v1/schema`, or with `?format=yaml`.
"""


def page() -> str:
    """Return the page in Markdown."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in made()["paths"].items():
        for method, operation in methods.items():
            told = "\n".join(_operation(path, method, operation))
            by_tag.setdefault(operation["tags"][0], []).append(told)
    parts = [_INTRODUCTION]
    for tag, operations in sorted(by_tag.items()):
        parts += [f"## {tag}\n", *operations]
    parts.append("## Shapes\n")
    for name, schema in sorted(made()["components"]["schemas"].items()):
        parts.append("\n".join(_shape(name, schema)))
    return "\n".join(parts)


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### `{method.upper()} {path.removeprefix('/api/v1')}`\n"
    yield f"{operation['summary']} {operation.get('description', '')}".strip() + "\n"
    asked = [one for one in operation.get("parameters", []) if one["in"] == "query"]
    if asked:
        rows = [(code(one["name"]), _type(one["schema"])) for one in asked]
        yield table(("query", "type"), rows)
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"- takes {_type(body['schema'])} as `{media_type}`"
    for status, answer in operation["responses"].items():
        if status != "default":
            yield f"- answers {status}{_answer(answer)}\n"


def _answer(answer: dict[str, Any]) -> str:
    for media_type, content in answer.get("content", {}).items():
        if media_type != "application/json":
            return f" `{media_type}`"
        return f" {_type(content['schema'])}"
    return ", empty"


def _shape(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    if told := schema.get("description"):
        yield f"{told}\n"
    required = schema.get("required", [])
    rows = [
        (code(field), _type(shape), "" if field in required else "may be absent")
        for field, shape in schema.get("properties", {}).items()
    ]
    yield table(("field", "type", ""), rows) if rows else f"{_type(schema)}\n"


def _type(schema: dict[str, Any]) -> str:
    """Return the type of a value in words."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for many in ("allOf", "oneOf", "anyOf"):
        if many in schema:
            return " or ".join(_type(one) for one in schema[many])
    if "enum" in schema:
        return " or ".join(code(str(value)) for value in schema["enum"] if value != "")
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        of = schema["additionalProperties"]
        return f"object of {_type(of)}" if of else "object"
    return _plain(schema)


def _plain(schema: dict[str, Any]) -> str:
    types = schema.get("type", "any")
    name = " or ".join(types) if isinstance(types, list) else types
    name = name.replace("string", schema.get("format", "string"))
    limits = [
        f"{words} {schema[key]}"
        for key, words in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("maxLength", "up to"),
            ("default", "default"),
        )
        if schema.get(key) not in (None, "")
    ]
    return f"{name} ({', '.join(limits)})" if limits else name
