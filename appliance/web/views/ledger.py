"""``/v1/ledger``: checkpoints for anyone, proofs for whoever they concern, all else for auditors."""

from __future__ import annotations

import base64

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.errors import Refusal, malformed
from appliance.index.prove import prove
from appliance.web.caching import keepable
from appliance.web.description import KEPT, content, problems
from appliance.web.models import ConsistencyQuery, EntriesQuery, SerialPath, Sized, TilePath
from appliance.web.replies import ConsistencyProof, LedgerEntries
from appliance.web.services import Services, require
from appliance.web.views.certificates import visible_certificate
from audit.errors import TilesDamaged
from audit.merkle import consistency_proof

_TAG = Tag(name="ledger", description="Checkpoints, proofs, entries and tiles.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("ledger", __name__, url_prefix="/v1/ledger", abp_tags=[_TAG])

    @api.get(
        "/checkpoint",
        summary="The newest checkpoint",
        responses={200: content("text/plain", "a signed note"), 304: KEPT},
    )
    def checkpoint() -> Response:
        """Signed by the ledger key (c2sp.org/tlog-checkpoint)."""
        return keepable(services.tiles.checkpoint(), "text/plain", scope="public")

    @api.get(
        "/proof/<digits:serial>",
        summary="The proof of a certificate",
        responses={200: content("text/plain", "a tlog-proof")},
        openapi_extensions=problems("not-found"),
    )
    def proof(path: SerialPath, query: Sized) -> Response:
        """As c2sp.org/tlog-proof; its `extra` is the entry of the intent. For auditors and the subject."""
        services.await_size(query.min_size)
        services.await_published(query.min_size)
        with services.index.snapshot() as snapshot:
            record = visible_certificate(snapshot, path.serial)
        return Response(prove(services.tiles, record.seq), mimetype="text/plain")

    @api.get(
        "/consistency",
        summary="That the log only grew",
        responses={200: ConsistencyProof},
        openapi_extensions=problems("policy-denied"),
    )
    def consistency(query: ConsistencyQuery) -> Response:
        """Between two sizes (RFC 9162 §2.1.4); hashes in base64."""
        with services.index.snapshot() as snapshot:
            require(snapshot, "ledger.read")
        services.await_published(query.min_size)
        size = services.tiles.size()
        if not query.old <= query.new <= size:
            raise malformed("new", f"expected old ≤ new ≤ {size}, the size of the newest checkpoint")
        hashes = consistency_proof(query.old, query.new, services.tiles.read_hash)
        proof = [base64.b64encode(value).decode() for value in hashes]
        return jsonify(old=query.old, new=query.new, proof=proof, ledger_size=size)

    @api.get(
        "/entries",
        summary="Entries, byte for byte",
        responses={200: LedgerEntries},
        openapi_extensions=problems("policy-denied"),
    )
    def entries(query: EntriesQuery) -> Response:
        """In base64, from `start` on, up to the newest checkpoint."""
        with services.index.snapshot() as snapshot:
            require(snapshot, "ledger.read")
        services.await_published(query.min_size)
        size = services.tiles.size()
        found = services.tiles.entries(query.start, min(size, query.start + query.limit))
        encoded = [base64.b64encode(raw).decode() for raw in found]
        return jsonify(start=query.start, entries=encoded, ledger_size=size)

    @api.get(
        "/tile/<level>/<path:index>",
        summary="A tile",
        responses={200: content("application/octet-stream", "its bytes"), 304: KEPT},
        openapi_extensions=problems("policy-denied", "not-found"),
    )
    def tile(path: TilePath) -> Response:
        """Of hashes or entries (c2sp.org/tlog-tiles)."""
        with services.index.snapshot() as snapshot:
            require(snapshot, "ledger.read")
        try:
            found = services.tiles.read_tile(f"tile/{path.level}/{path.index}")
        except TilesDamaged as error:
            raise Refusal("not-found", f"there is no tile {path.level}/{path.index}") from error
        return keepable(found, "application/octet-stream", scope="private")

    return api
