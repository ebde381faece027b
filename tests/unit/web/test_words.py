"""What is wrong with a request, in the appliance's own words: not in pydantic's, and without a pattern."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from appliance.ssh.keys import format_public_key_line
from appliance.web.shapes import Reply
from appliance.words import explain
from support.ssh_examples import public_key
from support.web import make_app, make_client

KEY = format_public_key_line(public_key("ed25519", 1))
PYDANTIC = ("Input ", "String ", "List ", "Value ", "Tuple ", "Dictionary ", "Unable ", "Extra ", "Field ")
WRONG: tuple[Any, ...] = (
    "",
    "!",
    "x" * 20_000,
    7,
    -1,
    2**60,
    0.5,
    None,
    True,
    [],
    ["!"] * 2_000,
    {},
    {"a": 1},
)


def models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for each in base.__subclasses__():
        yield each
        yield from models(each)


def _is_sent(model: type[BaseModel]) -> bool:
    """Whether somebody sends it, or configures it: answers are ours, and a base is nothing by itself."""
    ours = model.__module__.startswith("appliance.") and not model.__subclasses__()
    return ours and not model.__module__.endswith("replies") and not issubclass(model, Reply)


make_app()  # whatever the routes take is loaded now
OURS = sorted(
    {each for each in models() if each.model_fields and _is_sent(each)},
    key=lambda each: (each.__module__, each.__qualname__),
)


@pytest.mark.parametrize("model", OURS, ids=lambda each: f"{each.__module__}.{each.__qualname__}")
def test_every_problem_of_every_field_is_said_in_words(model: type[BaseModel]) -> None:
    said = set[str]()
    for wrong in WRONG:
        for name, field in model.model_fields.items():
            try:
                model.model_validate({field.alias or name: wrong})
            except ValidationError as error:
                said.update(explain(problem) for problem in error.errors(include_url=False))
    assert [words for words in said if words.startswith(PYDANTIC) or "^" in words] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "detail"),
    [
        ("GET", "/v1/certificates/0", None, "serial: got '0', expected a serial in decimal"),
        (
            "GET",
            "/v1/certificates?cursor=!",
            None,
            "cursor: got '!', expected a cursor that an earlier page gave",
        ),
        ("GET", "/v1/certificates?limit=0", None, "limit: expected 1 or more"),
        ("GET", "/v1/certificates?limit=x", None, "limit: expected a whole number"),
        ("GET", "/v1/certificates?subject=", None, "subject: expected text of 1 or more characters"),
        (
            "POST",
            "/v1/certificates/user",
            {"public_key": KEY, "reason": ""},
            "reason: expected text of 1 or more characters",
        ),
        (
            "POST",
            "/v1/certificates/user",
            {"public_key": KEY, "hosts": []},
            "hosts: expected 1 or more of them",
        ),
        ("POST", "/v1/certificates/user", {"public_key": 7}, "public_key: expected text"),
        (
            "POST",
            "/v1/revocations",
            {"serial": "12a", "reason": "lost"},
            "serial: got '12a', expected a serial in decimal",
        ),
    ],
)
def test_refusal_says_what_was_expected(method: str, path: str, body: object, detail: str) -> None:
    refused = make_client().open(path, method=method, json=body)
    assert (refused.status_code, refused.get_json()["detail"]) == (400, detail)
