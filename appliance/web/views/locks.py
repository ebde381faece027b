"""``/v1/locks``: what gets no more certificates. Placing one takes away; lifting one is an order."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.cutting import LockBody
from appliance.errors import malformed
from appliance.index.cut import render_cut
from appliance.index.known import warn_of_unknown
from appliance.index.paging import list_locks
from appliance.index.render import render_lock
from appliance.web.cut_replies import Locked, LockPage
from appliance.web.description import problems
from appliance.web.models import LiftLockOrder, LockPath, LocksQuery
from appliance.web.replies import CarriedOut
from appliance.web.services import Services, require

_TAG = Tag(name="locks", description="What gets no more certificates until an operator lifts it.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("locks", __name__, url_prefix="/v1/locks", abp_tags=[_TAG])

    @api.get(
        "",
        summary="The locks",
        responses={200: LockPage},
        openapi_extensions=problems("policy-denied"),
    )
    def list_(query: LocksQuery) -> Response:
        """Those in force, newest first; for operators, admins and auditors."""
        services.await_size(query.min_size)
        with services.index.snapshot() as snapshot:
            require(snapshot, "lock.read")
            page = list_locks(snapshot, lifted=query.lifted, cursor=query.cursor, limit=query.limit)
        locks = [render_lock(record) for record in page.records]
        return jsonify(locks=locks, cursor=page.cursor, ledger_size=page.size)

    @api.post(
        "",
        summary="Place a lock",
        responses={200: Locked, 201: Locked},  # 200: it stands already
        openapi_extensions=problems("policy-denied", "not-found", "conflict"),
    )
    def place(body: LockBody) -> tuple[Response, int]:
        """No more certificates at once, and those that there are, are revoked with it.

        Needs the role operator or admin, and no signature: it only takes away.
        """
        done = services.ask("lock.place", body=body.model_dump(exclude_none=True))
        placed = done.get("seq") == done["lock"]
        cut = render_cut(services.index, done) | warn_of_unknown(services.index, *body.named)
        return jsonify({"lock": done["lock"], **cut}), 201 if placed else 200

    @api.delete(
        "/<digits:seq>",
        summary="Lift a lock, by order",
        responses={200: CarriedOut},
        openapi_extensions=problems("policy-denied", "not-found", "conflict", "issuance-halted"),
    )
    def lift(path: LockPath, body: LiftLockOrder) -> Response:
        """The command is `lock.lift`; what was revoked stays revoked."""
        if body.command.lock != path.seq:
            raise malformed("command.lock", f"expected {path.seq}, as in the path")
        return jsonify(services.order(body.command, body.orders))

    return api
