"""Where in a policy something is wrong, and what, in the words of the document and not of its parser."""

from __future__ import annotations

from typing import Any

from appliance import words


def format_place(tables: dict[str, Any], location: tuple[int | str, ...]) -> str:
    """Turn pydantic's location into the words of the document: ``grant "dba": on[0]``."""
    said: list[str] = []
    value: Any = tables
    for step in location:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(step, int) and said:
            named = isinstance(value, dict) and len(said) == 1
            said[-1] += f" {_quote(value, step)}:" if named else f"[{step}]"
        else:
            said.append("customer" if step == "customer_tables" else str(step))
    return " ".join([*said[:1], ".".join(said[1:])]).strip().removesuffix(":")


def _quote(table_: dict[str, Any], position: int) -> str:
    name = table_.get("name")
    return f'"{name[:80]}"' if isinstance(name, str) else f"number {position + 1}"


def explain(entry: Any) -> str:
    """Say in words what is wrong with a value, from what pydantic found."""
    if entry["type"] == "unexpected_keyword_argument":
        return "unknown key; this version has no such feature, and what it does not know it refuses"
    if entry["type"] in {"dict_type", "dataclass_type"}:
        return "expected a table"
    return words.explain(entry)
