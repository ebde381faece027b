"""``/v1/policy``: the policy in force, and applying another, by order."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.authority.commands import ApplyPolicy
from appliance.errors import Refusal
from appliance.policy.document import PolicyFile
from appliance.policy.roles import list_files, roles_of
from appliance.web.caching import keepable_facts
from appliance.web.description import KEPT, problems
from appliance.web.models import PolicyRequest, Sized
from appliance.web.replies import CarriedOut, PolicyShown, WhoYouAre
from appliance.web.services import Services, requester, require_sight, seen

_TAG = Tag(name="policy", description="The policy in force.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("policy", __name__, url_prefix="/v1", abp_tags=[_TAG])

    @api.get(
        "/policy",
        summary="The policy in force",
        responses={200: PolicyShown, 304: KEPT},
        openapi_extensions=problems("policy-denied", "not-found"),
    )
    def show(query: Sized) -> Response:
        """Its files, and the entry that applied them; for admins. Customers' auditors see customers' own."""
        services.await_size(query.min_size)
        with services.index.snapshot() as snapshot:
            customers = require_sight(snapshot, "policy.read")
            seq, policy = snapshot.policy_seq(), snapshot.policy()
            if seq is None or policy is None:
                raise Refusal("not-found", "no policy has been applied")
            files = [{"name": file.name, "text": file.text} for file in list_files(policy, customers)]
            facts = {"policy": seq, "files": files, "ledger_size": snapshot.size}
        return keepable_facts(facts, scope="private")

    @api.put(
        "/policy",
        summary="Apply a policy, by order",
        responses={200: CarriedOut},
        openapi_extensions=problems("policy-denied", "conflict", "issuance-halted"),
    )
    def apply(body: PolicyRequest) -> Response:
        """The signed command is `policy.apply` with the SHA-256 of each file, in their order."""
        files = [PolicyFile(name=file.name, text=file.text) for file in body.files]
        texts = [file.model_dump() for file in body.files]
        return jsonify(services.order(ApplyPolicy.of(files), body.orders, files=texts))

    @api.get("/whoami", summary="Who you are", responses={200: WhoYouAre})
    def whoami(query: Sized) -> Response:
        """As your credential says, with the roles that the policy gives you."""
        services.await_size(query.min_size)
        identity = requester()
        with services.index.snapshot() as snapshot:
            policy = snapshot.policy()
            roles = [] if policy is None else sorted(roles_of(policy, identity))
            customers = seen(snapshot, "certificate.read")
            of = {"customers": sorted(customers)} if customers else {}
            who = {
                "identity": str(identity),
                "kind": identity.kind,
                "groups": sorted(identity.groups),
                "mfa": identity.mfa,
                "roles": roles,
            }
            return jsonify(who | of | {"ledger_size": snapshot.size})

    return api
