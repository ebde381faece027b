"""The description as a page: operations by tag, with what they refer to put in its place. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from markupsafe import Markup, escape

_CODE: Final = re.compile(r"``?([^`]+)``?")
# What a schema says of a value beside its type, in words for the page.
_LIMITS: Final = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {}"),
    ("maxItems", "at most {}"),
    ("default", "default {}"),
)


def describe_operations(api: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return tags in their order, each with its operations; parameters, bodies and answers are resolved."""
    tags = {tag["name"]: {**tag, "operations": []} for tag in api["tags"]}
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            described = _describe(api, operation) | {"method": method.upper(), "path": path}
            tags[operation["tags"][0]]["operations"].append(described)
    return list(tags.values())


def list_sent(api: Mapping[str, Any]) -> frozenset[str]:
    """Return the schemas of which requests are made; all others are of answers only."""
    schemas = api["components"]["schemas"]
    operations = [each for methods in api["paths"].values() for each in methods.values()]
    found: set[str] = set()
    waiting = [name for each in operations for name in _references(each.get("requestBody"))]
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += _references(schemas[name])
    return frozenset(found)


def mark_code(text: str) -> Markup:
    """Return a text as HTML, with what is between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def describe_limits(schema: Mapping[str, Any]) -> list[str]:
    """Return what a schema asks of a value, in words; its pattern is shown apart."""
    limits = [text.format(_number(schema[name])) for name, text in _LIMITS if schema.get(name) is not None]
    return ["each once", *limits] if schema.get("uniqueItems") else limits


def list_members(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the members of an object, those that must be there first."""
    required = schema.get("required", ())
    members = [
        {
            "name": name,
            "schema": each,
            "required": name in required,
            "description": each.get("description", ""),
        }
        for name, each in schema.get("properties", {}).items()
    ]
    return sorted(members, key=lambda member: not member["required"])


def _describe(api: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Any]:
    parameters = [_resolve(api, each) for each in operation.get("parameters", ())]
    body: dict[str, Any] | None = None
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]["schema"]
    return {
        **operation,
        "parameters": sorted(parameters, key=lambda each: ("path", "query", "header").index(each["in"])),
        "body": None if body is None else {"schema": body, "members": list_members(_resolve(api, body))},
        "answers": [_answer(api, status, each) for status, each in operation["responses"].items()],
        "public": operation.get("security") == [],
    }


def _answer(api: Mapping[str, Any], status: str, response: Mapping[str, Any]) -> dict[str, Any]:
    contents: dict[str, dict[str, Any]] = response.get("content", {"": {}})
    ((media_type, content),) = contents.items()
    headers = {name: _resolve(api, each) for name, each in response["headers"].items()}
    return {
        "status": status,
        "description": response["description"],
        "media_type": media_type,
        "schema": content.get("schema"),
        "headers": [name for name in headers if name != "X-Request-Id"],
        "is_problem": status >= "400",
    }


def _resolve(api: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """Follow a reference into the description."""
    found: Any = value
    if "$ref" in value:
        found = api
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    return dict(found)


def _references(value: Any) -> Iterator[str]:
    """Yield the names of the schemas that a part of the description refers to."""
    if isinstance(value, list):
        for each in value:
            yield from _references(each)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rsplit("/", 1)[1]
        yield from _references(list(value.values()))


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
