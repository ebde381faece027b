"""``/v1/policy``: the policy in force, and applying another, by order."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.authority.commands import ApplyPolicy
from appliance.errors import Refusal
from appliance.policy.document import PolicyFile
from appliance.policy.roles import roles_of
from appliance.web.models import PolicyRequest, Sized
from appliance.web.services import Services, requester, require

_TAG = Tag(name="policy", description="The policy in force.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("policy", __name__, url_prefix="/v1", abp_tags=[_TAG])

    @api.get("/policy", summary="The policy in force")
    def show(query: Sized) -> Response:
        """Its files, and the entry that applied them; for admins."""
        services.await_size(query.min_size)
        with services.index.snapshot() as snapshot:
            require(snapshot, "policy.read")
            seq = snapshot.policy_seq()
            if seq is None:
                raise Refusal("not-found", "no policy has been applied")
            files = [{"name": file.name, "text": file.text} for file in snapshot.policy_files(seq)]
            return jsonify(policy=seq, files=files, ledger_size=snapshot.size)

    @api.put("/policy", summary="Apply a policy, by order")
    def apply(body: PolicyRequest) -> Response:
        """The signed command is `policy.apply` with the SHA-256 of each file, in their order."""
        files = [PolicyFile(name=file.name, text=file.text) for file in body.files]
        done = services.ask(
            "order",
            command=ApplyPolicy.of(files).to_command(),
            orders=[order.model_dump() for order in body.orders],
            files=[file.model_dump() for file in body.files],
        )
        return jsonify(done)

    @api.get("/whoami", summary="Who you are")
    def whoami() -> Response:
        """As your credential says, with the roles that the policy gives you."""
        identity = requester()
        with services.index.snapshot() as snapshot:
            policy = snapshot.policy()
            roles = [] if policy is None else sorted(roles_of(policy, identity))
            return jsonify(identity=str(identity), kind=identity.kind, roles=roles, ledger_size=snapshot.size)

    return api
