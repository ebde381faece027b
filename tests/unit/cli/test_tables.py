"""Tables on terminals of every width: whatever is in them can be read."""

from __future__ import annotations

import json
import sys
from typing import Final

import pytest

from support.terminal import show_on_terminal

COLUMNS: Final = ["CA:", "phase:", "key:", "next"]
ROWS: Final = [
    ["acme-users", "signing", "SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg", ""],
    ["acme-hosts", "trusted", "SHA256:2jmj7l5rSw0yVb/vlWAYkK/YBwkFnQuzPPh9kGC1oCE", "promote it on Friday"],
]
PROGRAM: Final = (
    "import json, sys; from appliance.cli.console import show_table; "
    "show_table(*json.loads(sys.argv[1]), empty='')"
)


def show(columns: list[str], rows: list[list[str]], width: int) -> str:
    return show_on_terminal([sys.executable, "-c", PROGRAM, json.dumps([columns, rows])], columns=width)


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_nothing_is_left_out_at_any_width(width: int) -> None:
    shown = show(COLUMNS, ROWS, width)
    assert shown.count("CA") >= 1
    for cell in (cell for row in ROWS for cell in row[:3]):
        assert cell in shown
    assert [word for word in shown.split() if word in {"promote", "it", "on", "Friday"}] == [
        "promote",
        "it",
        "on",
        "Friday",
    ]


def test_table_that_fits_is_a_table() -> None:
    header, first, second = show(COLUMNS, ROWS, 120).splitlines()
    assert header.split() == ["CA", "phase", "key", "next"]
    assert first.split() == ROWS[0][:3]
    assert second.endswith("promote it on Friday")


def test_table_that_does_not_fit_is_fields_of_one_row_after_the_other() -> None:
    first, second = show(COLUMNS, ROWS, 70).split("\n\n")
    assert second.splitlines() == [
        "CA     acme-hosts",
        "phase  trusted",
        f"key    {ROWS[1][2]}",
        "next   promote it on Friday",
    ]
    assert first.splitlines()[0] == "CA     acme-users"


def test_columns_that_wrap_keep_their_words_whole() -> None:
    words = "policy.apply, ca.create, credential.create"
    for width in (20, 30, 60):
        shown = show(["operator:", "may order", "reason"], [["carol", words, "a laptop was stolen"]], width)
        assert [each for each in words.split() if each not in shown] == []


def test_what_somebody_wrote_makes_no_rows() -> None:
    rows = [["ada", "one\nbob  two"]]
    assert len(show(["who:", "reason"], rows, 100).splitlines()) == 2
