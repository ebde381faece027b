"""``/v1/cas``: what hosts and clients install to trust, for anyone to read."""

from __future__ import annotations

from flask import Response
from flask_openapi3 import APIBlueprint, Tag

from appliance.errors import Refusal
from appliance.index.render import format_trusted_keys, render_ca_key
from appliance.web.caching import keepable, keepable_facts
from appliance.web.description import KEPT, content, problems
from appliance.web.models import CaPath, PublicKeyQuery, Sized
from appliance.web.replies import CaKeys
from appliance.web.services import Services

_TAG = Tag(name="cas", description="The CAs and their public keys.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("cas", __name__, url_prefix="/v1/cas", abp_tags=[_TAG])

    @api.get("", summary="All CA keys", responses={200: CaKeys, 304: KEPT})
    def list_(query: Sized) -> Response:
        """With the phase that each is in."""
        services.await_size(query.min_size)
        with services.index.snapshot() as snapshot:
            keys = [render_ca_key(key) for key in snapshot.ca_keys()]
            size = snapshot.size
        return keepable_facts({"cas": keys, "ledger_size": size}, scope="public")

    @api.get(
        "/<ca>/public-key",
        summary="The keys to trust, as OpenSSH text",
        responses={200: content("text/plain", "one key a line"), 304: KEPT},
        openapi_extensions=problems("not-found"),
    )
    def public_key(path: CaPath, query: PublicKeyQuery) -> Response:
        """For TrustedUserCAKeys, or with `known_hosts=true` as @cert-authority lines."""
        services.await_size(query.min_size)
        with services.index.snapshot() as snapshot:
            keys = snapshot.ca_keys(path.ca)
        if not keys:
            raise Refusal("not-found", f"there is no CA {path.ca}")
        text = format_trusted_keys(keys, pattern=query.pattern if query.known_hosts else None)
        return keepable(text, "text/plain", scope="public")

    return api
