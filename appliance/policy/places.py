"""Where in a policy something is wrong, and what, in the words of the document and not of its parser."""

from __future__ import annotations

from typing import Any

from appliance.ssh.errors import SshFormatError


def format_place(tables: dict[str, Any], location: tuple[int | str, ...]) -> str:
    """Turn pydantic's location into the words of the document: ``grant "dba": on[0]``."""
    words: list[str] = []
    value: Any = tables
    for step in location:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(step, int) and words:
            named = isinstance(value, dict) and len(words) == 1
            words[-1] += f" {_quote(value, step)}:" if named else f"[{step}]"
        else:
            words.append("customer" if step == "customer_tables" else str(step))
    return " ".join([*words[:1], ".".join(words[1:])]).strip().removesuffix(":")


def _quote(table_: dict[str, Any], position: int) -> str:
    name = table_.get("name")
    return f'"{name[:80]}"' if isinstance(name, str) else f"number {position + 1}"


def explain(entry: Any) -> str:
    """Say in words what is wrong with a value, from what pydantic found."""
    if entry["type"] == "unexpected_keyword_argument":
        return "unknown key; this version has no such feature, and what it does not know it refuses"
    if entry["type"] == "missing":
        return "is missing"
    cause = entry.get("ctx", {}).get("error")
    if isinstance(cause, SshFormatError | ValueError):
        return str(cause)
    return str(entry["msg"])[:1].lower() + str(entry["msg"])[1:]
