"""``/v1/approvals``: ask others to let you rest on a grant, and answer those who ask."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.authority.approving.answers import AnswerBody
from appliance.authority.approving.approving import ApprovalBody
from appliance.index.approvals import ApprovalFilter, approvable, list_approvals, render_approval
from appliance.index.queries import Snapshot
from appliance.web.approvals import (
    ApprovalAnswered,
    ApprovalAsked,
    ApprovalPage,
    ApprovalPath,
    ApprovalsQuery,
)
from appliance.web.description import problems
from appliance.web.services import Services, lock_on_requester, may, requester

_TAG = Tag(name="approvals", description="What some grants require of others before they give anything.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("approvals", __name__, url_prefix="/v1/approvals", abp_tags=[_TAG])

    @api.get("", summary="Who asked for which approval", responses={200: ApprovalPage})
    def list_(query: ApprovalsQuery) -> Response:
        """Your own, and those that you may give; operators, admins and auditors see all. Newest first."""
        services.await_size(query.min_size)
        now_s = services.now_ms() // 1000
        with services.index.snapshot() as snapshot:
            wanted = _filter(snapshot, past=query.past)
            page = list_approvals(snapshot, wanted, now_s=now_s, cursor=query.cursor, limit=query.limit)
            origin = snapshot.log().origin
        found = [render_approval(each, now_s) for each in page.records]
        return jsonify(origin=origin, approvals=found, cursor=page.cursor, ledger_size=page.size)

    @api.post(
        "",
        summary="Ask for approval",
        responses={200: ApprovalAsked, 201: ApprovalAsked},  # 200: it was asked for before
        openapi_extensions=problems("policy-denied", "conflict", "issuance-halted"),
    )
    def ask(body: ApprovalBody) -> tuple[Response, int]:
        """To rest on a grant of yours that requires it. Others have an hour to answer."""
        done = services.ask("approval.request", body=body.model_dump())
        if done["already"]:
            return jsonify(approval=done["seq"], already=True), 200
        return jsonify(approval=done["seq"]), 201

    @api.post(
        "/<int:approval>",
        summary="Answer a request for approval",
        responses={201: ApprovalAnswered},
        openapi_extensions=problems("policy-denied", "not-found", "conflict", "issuance-halted"),
    )
    def answer(path: ApprovalPath, body: AnswerBody) -> tuple[Response, int]:
        """With the signature of an approver over the statement that docs/formats/entries.md has.

        Who sends it does not matter. Nobody approves for himself; one refusal ends it.
        """
        sent = body.model_dump(exclude_none=True)
        done = services.ask("approval.answer", approval=path.approval, body=sent)
        return jsonify(approval=path.approval, answer=body.decision, entry=done["seq"]), 201

    return api


def _filter(snapshot: Snapshot, *, past: bool) -> ApprovalFilter:
    if may(snapshot, "approval.read"):
        return ApprovalFilter(past=past)
    name = str(requester())
    grants = frozenset() if lock_on_requester(snapshot) else approvable(snapshot.policy(), name)
    return ApprovalFilter(identity=name, grants=grants, past=past)
