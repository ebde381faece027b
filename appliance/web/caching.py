"""Replies that may be kept: evidence and public keys, which many ask for and which rarely change."""

from __future__ import annotations

from flask import Response, request


def keepable(content: str | bytes, media_type: str, *, scope: str) -> Response:
    """Return a reply that ``scope``, public or private caches, may keep and must ask for again by its ETag.

    Whoever has it already is told so (RFC 9110 §13.1.2).
    """
    response = Response(content, mimetype=media_type)
    response.headers["Cache-Control"] = f"{scope}, no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response
