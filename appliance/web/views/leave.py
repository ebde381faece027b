"""``/v1/leave``: who is away. Booking only takes away; cancelling is by order."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.authority.cutting.leaving import LeaveBody
from appliance.days import is_day, parse_day_or_moment
from appliance.errors import Refusal, malformed
from appliance.index.cut import render_reached
from appliance.index.leave import LeaveFilter, find_whose, list_leaves, render_booked, render_leave
from appliance.index.queries import Snapshot
from appliance.policy.zones import load_zone
from appliance.requests import check_body
from appliance.web.description import problems
from appliance.web.leave import (
    CancelLeaveOrder,
    LeaveBooked,
    LeavePage,
    LeavePath,
    LeaveQuery,
    LeaveRequest,
)
from appliance.web.replies import CarriedOut
from appliance.web.services import Services, may, requester

_TAG = Tag(name="leave", description="Who is away: no access then, and access again afterwards by itself.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("leave", __name__, url_prefix="/v1/leave", abp_tags=[_TAG])

    @api.get(
        "",
        summary="Who is away",
        responses={200: LeavePage},
        openapi_extensions=problems("policy-denied"),
    )
    def list_(query: LeaveQuery) -> Response:
        """And will be. Operators, admins and auditors see all, everyone else his own. Newest first."""
        services.await_size(query.min_size)
        now_s = services.now_ms() // 1000
        with services.index.snapshot() as snapshot:
            wanted = _filter(snapshot, query)
            page = list_leaves(snapshot, wanted, now_s=now_s, cursor=query.cursor, limit=query.limit)
        found = [render_leave(each, now_s) for each in page.records]
        return jsonify(leave=found, cursor=page.cursor, ledger_size=page.size)

    @api.post(
        "",
        summary="Book leave",
        responses={200: LeaveBooked, 201: LeaveBooked},  # 200: it had been booked before
        openapi_extensions=problems("policy-denied", "not-found", "conflict", "issuance-halted"),
    )
    def book(body: LeaveRequest) -> tuple[Response, int]:
        """For yourself, or with the role operator or admin for anyone. No signature: it only takes away.

        Certificates end when it starts. Those that are live and reach into it are revoked at once.
        """
        done = services.ask("leave.book", body=_read(body))
        rendered = render_booked(done, services.now_ms() // 1000)
        rendered["live"] = render_reached(services.index, rendered["revoked"])
        return jsonify(rendered), 200 if done["already"] else 201

    @api.post(
        "/<int:leave>/cancel",
        summary="Cancel leave, by order",
        responses={200: CarriedOut},
        openapi_extensions=problems("policy-denied", "not-found", "conflict", "issuance-halted"),
    )
    def cancel(path: LeavePath, body: CancelLeaveOrder) -> Response:
        """The command is `leave.cancel`; with `ends_s` the leave only ends sooner. Revoked stays revoked."""
        if body.command.leave != path.leave:
            raise malformed("command.leave", f"expected {path.leave}, as in the path")
        return jsonify(services.order(body.command, body.orders))

    return api


def _filter(snapshot: Snapshot, query: LeaveQuery) -> LeaveFilter:
    own = find_whose(snapshot.policy(), str(requester()))
    whose = None if query.person is None else find_whose(snapshot.policy(), query.person)
    if not may(snapshot, "leave.read"):
        if whose is not None and whose != own:
            raise Refusal("policy-denied", "you see leave of your own only", rule="leave.read")
        whose = own
    return LeaveFilter(whose=whose, past=query.past, pending=query.pending)


def _read(body: LeaveRequest) -> dict[str, object]:
    """Return a body with its days as moments."""
    zone = load_zone(body.timezone)
    fields = {
        "person": body.person or str(requester()),
        "starts_s": parse_day_or_moment(body.starts, zone),
        "ends_s": parse_day_or_moment(body.ends, zone),
        "timezone": zone.key if is_day(body.starts) or is_day(body.ends) else None,
        "reason": body.reason,
    }
    return check_body(LeaveBody, fields).model_dump(exclude_none=True)
