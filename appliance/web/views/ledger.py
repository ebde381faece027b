"""``/v1/ledger``: checkpoints for anyone, proofs for whoever they concern, all else for auditors."""

from __future__ import annotations

import base64

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.errors import Refusal, malformed
from appliance.index.prove import prove
from appliance.web.caching import keepable
from appliance.web.models import ConsistencyQuery, EntriesQuery, SerialPath, TilePath
from appliance.web.services import Services, require
from appliance.web.views.certificates import visible_certificate
from audit.errors import TilesDamaged
from audit.merkle import consistency_proof

_TAG = Tag(name="ledger", description="Checkpoints, proofs, entries and tiles.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("ledger", __name__, url_prefix="/v1/ledger", abp_tags=[_TAG])

    @api.get("/checkpoint", summary="The newest checkpoint")
    def checkpoint() -> Response:
        """Signed by the ledger key (c2sp.org/tlog-checkpoint)."""
        return keepable(services.tiles.checkpoint(), "text/plain", scope="public")

    @api.get("/proof/<serial>", summary="The proof of a certificate")
    def proof(path: SerialPath) -> Response:
        """As c2sp.org/tlog-proof; its `extra` is the entry of the intent. For auditors and the subject."""
        with services.index.snapshot() as snapshot:
            record = visible_certificate(snapshot, path.serial)
        return Response(prove(services.tiles, record.seq), mimetype="text/plain")

    @api.get("/consistency", summary="That the log only grew")
    def consistency(query: ConsistencyQuery) -> Response:
        """Between two sizes (RFC 9162 §2.1.4); hashes in base64."""
        with services.index.snapshot() as snapshot:
            require(snapshot, "ledger.read")
        size = services.tiles.size()
        if not query.old <= query.new <= size:
            raise malformed("new", f"expected old ≤ new ≤ {size}, the size of the newest checkpoint")
        hashes = consistency_proof(query.old, query.new, services.tiles.read_hash)
        return jsonify(
            old=query.old, new=query.new, proof=[base64.b64encode(value).decode() for value in hashes]
        )

    @api.get("/entries", summary="Entries, byte for byte")
    def entries(query: EntriesQuery) -> Response:
        """In base64, from `start` on, up to the newest checkpoint."""
        with services.index.snapshot() as snapshot:
            require(snapshot, "ledger.read")
        size = services.tiles.size()
        found = services.tiles.entries(query.start, min(size, query.start + query.limit))
        encoded = [base64.b64encode(raw).decode() for raw in found]
        return jsonify(start=query.start, entries=encoded, ledger_size=size)

    @api.get("/tile/<path:path>", summary="A tile")
    def tile(path: TilePath) -> Response:
        """Of hashes or entries (c2sp.org/tlog-tiles)."""
        with services.index.snapshot() as snapshot:
            require(snapshot, "ledger.read")
        try:
            content = services.tiles.read_tile(f"tile/{path.path}")
        except TilesDamaged as error:
            raise Refusal("not-found", f"there is no tile {path.path}") from error
        return keepable(content, "application/octet-stream", scope="private")

    return api
