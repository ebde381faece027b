"""JSON in replies, by orjson."""

from __future__ import annotations

import json
from typing import Any

import orjson
from flask import Response
from flask.json.provider import JSONProvider


class OrjsonProvider(JSONProvider):
    """Writes UTF-8 and members in their order. Bodies are read by :mod:`appliance.web.jsonbody`."""

    mimetype = "application/json"

    def dumps(self, obj: Any, **_: Any) -> str:
        """Return a value as JSON."""
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse JSON, as the standard library does."""
        return json.loads(s, **kwargs)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a reply whose body is a value, or an object of the named ones."""
        value = self._prepare_response_obj(args, kwargs)
        body = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
        return Response(body, mimetype=self.mimetype)
