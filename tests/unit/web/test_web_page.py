"""The page at /docs: it shows all that the description says, and needs nothing but HTML and a style sheet."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from appliance.web.page import describe_limits, list_members, list_sent, mark_code
from support.web import make_app

_VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """What a browser would find in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    found: dict[str, Any] = make_app()[0].test_client().get("/v1/openapi.json").get_json()
    return found


@pytest.fixture(scope="module")
def text() -> str:
    return make_app()[0].test_client().get("/docs").text


def test_page_is_well_formed_and_has_no_script_and_no_style_of_its_own(text: str) -> None:
    page = Page(text)
    assert not {"script", "style", "iframe", "object", "img", "form"} & set(page.elements)
    assert not [name for name in page.attributes if name == "style" or name.startswith("on")]
    assert text.startswith("<!doctype html>")


def test_page_loads_and_links_nothing_from_elsewhere(text: str) -> None:
    assert all(link.startswith(("#", "/")) and not link.startswith("//") for link in Page(text).links)


def test_page_shows_every_operation_tag_and_schema_once_and_every_link_leads_somewhere(
    text: str, api: dict[str, Any]
) -> None:
    page = Page(text)
    operations = [each["operationId"] for methods in api["paths"].values() for each in methods.values()]
    tags = [tag["name"] for tag in api["tags"]]
    expected = [*operations, *tags, *api["components"]["schemas"], "schemas"]
    assert sorted(page.ids) == sorted(expected)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_page_shows_parameters_answers_and_problems_of_each_operation(text: str, api: dict[str, Any]) -> None:
    for methods in api["paths"].values():
        for operation in methods.values():
            section = text.split(f'<section id="{operation["operationId"]}"')[1].split(
                "</section>", maxsplit=1
            )[0]
            names = [each["name"] for each in operation.get("parameters", []) if "name" in each]
            assert all(f"<code>{name}</code>" in section for name in names)
            assert all(f'href="/problems/{slug}"' in section for slug in operation["x-problems"])
            good = [status for status in operation["responses"] if status < "400"]
            assert all(f"<code>{status}</code>" in section for status in good)


def test_backticks_become_code_and_nothing_else_becomes_html() -> None:
    assert mark_code("`a` & ``b``: <b>") == "<code>a</code> &amp; <code>b</code>: &lt;b&gt;"


def test_schemas_of_requests_are_told_from_those_of_answers(api: dict[str, Any]) -> None:
    sent = list_sent(api)
    assert {"AddHostOrder", "AddHost", "LabelBody", "OrderBody", "UserCertificateBody"} <= sent
    assert not {"Problem", "HostPage", "HostShown", "CarriedOut"} & sent


def test_limits_of_a_value_are_told_in_words() -> None:
    schema = {"type": "integer", "minimum": 1.0, "maximum": 500, "default": 100}
    assert describe_limits(schema) == ["at least 1", "at most 500", "default 100"]


def test_members_that_must_be_there_come_first() -> None:
    schema = {"properties": {"ttl": {}, "public_key": {}}, "required": ["public_key"]}
    assert [member["name"] for member in list_members(schema)] == ["public_key", "ttl"]
