"""What is wrong with a value, in words for whoever sent it, in the place of pydantic's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, core_schema

# What each type of pydantic's problems is to those who send the value, with the problem's own context.
_WORDS: Final = {
    "extra_forbidden": "unknown field; what is not known is refused",
    "missing": "is missing",
    "string_too_short": "expected text of {min_length} or more characters",
    "string_too_long": "expected text of {max_length} characters at most",
    "too_short": "expected {min_length} or more of them",
    "too_long": "expected {max_length} of them at most",
    "greater_than_equal": "expected {ge} or more",
    "less_than_equal": "expected {le} or less",
    "literal_error": "expected {expected}",
    "string_unicode": "is not Unicode that can be written down",
    "union_tag_invalid": "got {tag!r}, expected one of {expected_tags}",
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "expected a whole number"
    ),
    **dict.fromkeys(("bool_type", "bool_parsing"), "expected true or false"),
    **dict.fromkeys(("float_type", "float_parsing"), "expected a number"),
    **dict.fromkeys(("list_type", "tuple_type"), "expected a list"),
    **dict.fromkeys(("dict_type", "model_type", "dataclass_type"), "expected an object"),
    "string_type": "expected text",
    "path_type": "expected a path",
}


def explain(problem: ErrorDetails) -> str:
    """Say in words what is wrong with a value, from what pydantic found."""
    context = problem.get("ctx", {})
    words = _WORDS.get(problem["type"])
    if words is None:
        return str(context.get("error") or problem["msg"])[:500]
    return words.format(**context)


@dataclass(frozen=True, slots=True)
class Shaped:
    """Text of a pattern; whoever sends other text is told in words what is ``expected``."""

    pattern: str
    expected: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the text."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe it by its pattern."""
        return {**handler(schema), "pattern": self.pattern}

    def _check(self, text: str) -> str:
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(f"got {text[:40]!r}, expected {self.expected}")
        return text
