"""Replies that may be kept: evidence and public keys, which many ask for and which rarely change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from flask import Response, jsonify, request


def keepable(content: str | bytes, media_type: str, *, scope: str) -> Response:
    """Return a reply that ``scope``, public or private caches, may keep and must ask for again by its ETag.

    Whoever has it already is told so (RFC 9110 §13.1.2).
    """
    response = Response(content, mimetype=media_type)
    response.headers["Cache-Control"] = f"{scope}, no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


def keepable_facts(facts: Mapping[str, object], *, scope: str, known_by: str | None = None) -> Response:
    """Return facts as JSON, that may be kept as :func:`keepable` says, by what ``known_by`` identifies.

    By default that is all but the ledger's size, which grows while the facts stay as they are: the ETag is a
    weak one (RFC 9110 §8.8.1), since the bytes differ in that.
    """
    if known_by is None:
        lasting = {name: value for name, value in facts.items() if name != "ledger_size"}
        known_by = json.dumps(lasting, sort_keys=True)
    response = jsonify(facts)
    response.headers["Cache-Control"] = f"{scope}, no-cache"
    response.set_etag(hashlib.sha256(known_by.encode()).hexdigest(), weak=True)
    response.make_conditional(request)
    return response
