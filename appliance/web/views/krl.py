"""``/v1/krl``: what is revoked, for anyone to fetch, and the signed statement that says how new it is."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_openapi3 import APIBlueprint, Tag

from appliance.errors import Refusal
from appliance.index.render import render_krl
from appliance.web.caching import keepable_facts
from appliance.web.cut_replies import KrlStatement
from appliance.web.description import KEPT, content, problems
from appliance.web.models import CaPath
from appliance.web.services import Services

_TAG = Tag(name="krl", description="Key revocation lists, for sshd.")
_PROBLEMS = ("not-found", "overloaded")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("krl", __name__, url_prefix="/v1/krl", abp_tags=[_TAG])
    fetched: dict[str, tuple[str, bytes]] = {}  # the last one of each CA, by its SHA-256

    def ask(ca: str) -> tuple[dict[str, Any], bytes]:
        """Return what the authority says of a KRL, and the KRL, which it hands over once."""
        sha256, krl = fetched.get(ca, ("", b""))
        told: dict[str, Any] = services.authority.call("krl", ca=ca, has=sha256)
        if "krl" in told:
            krl = told["krl"]
            fetched[ca] = (told["sha256"], krl)
        return told, krl

    @api.get(
        "/<ca>",
        summary="The KRL of a CA",
        responses={200: content("application/octet-stream", "for RevokedKeys"), 304: KEPT},
        openapi_extensions=problems(*_PROBLEMS),
    )
    def fetch(path: CaPath) -> Response:
        """In OpenSSH's format, for all CAs of its customer that sign for the same kind of holder.

        The ETag is its SHA-256.
        """
        told, krl = ask(path.ca)
        response = Response(krl, mimetype="application/octet-stream")
        response.headers["Cache-Control"] = "public, no-cache"
        response.set_etag(told["sha256"])
        response.make_conditional(request)
        return response

    @api.get(
        "/<ca>.sig",
        summary="The signed statement about a KRL",
        responses={200: KrlStatement, 304: KEPT},
        openapi_extensions=problems(*_PROBLEMS, "hsm-unavailable"),
    )
    def sign(path: CaPath) -> Response:
        """Which KRL is the newest and until when that is to be believed: docs/formats/krl.md."""
        told, _ = ask(path.ca)
        if "signature" not in told:
            raise Refusal("hsm-unavailable", "the token does not sign just now; try again", retry_after_s=5)
        return keepable_facts(render_krl(path.ca, told), scope="public", known_by=told["statement"])

    return api
