"""``/v1/policy``: the policy in force, and applying another, by order."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag
from gevent import get_hub

from appliance.authority.ordering.commands import ApplyPolicy
from appliance.errors import Refusal
from appliance.index.fleet import Registered
from appliance.index.standing import read_standing
from appliance.policy.check import check_policy
from appliance.policy.document import Policy, PolicyError, PolicyFile, parse_policy
from appliance.policy.holidays import with_holidays
from appliance.policy.plan import Plan, plan
from appliance.policy.planning.standing import Standing
from appliance.policy.roles import list_files, roles_of
from appliance.web.caching import keepable_facts
from appliance.web.description import KEPT, problems
from appliance.web.explained import PolicyPlanned
from appliance.web.models import PlanRequest, PolicyRequest, Sized
from appliance.web.replies import CarriedOut, PolicyShown, WhoYouAre
from appliance.web.services import Services, requester, require, require_sight, seen

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

    @api.post(
        "/policy/plan",
        summary="What another policy would change",
        responses={200: PolicyPlanned},
        openapi_extensions=problems("policy-denied", "not-found"),
    )
    def planned(body: PlanRequest) -> Response:
        """Who would gain and who would lose which login where, on what terms, and what else; for admins."""
        files = [PolicyFile(name=file.name, text=file.text) for file in body.files]
        with services.index.snapshot() as snapshot:
            require(snapshot, "policy.read")
            seq, before = snapshot.policy_seq(), snapshot.policy()
            if seq is None or before is None:
                raise Refusal("not-found", "no policy has been applied")
            hosts, size = snapshot.fleet().registered(snapshot.size), snapshot.size
            standing = read_standing(snapshot, services.now_ms() // 1000)
        # On another thread: a large policy takes seconds, in which this one has others to answer.
        made = get_hub().threadpool.apply(compare, (before, files, hosts, standing))
        return jsonify({**made.to_data(), "policy": seq, "ledger_size": size})

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


def compare(
    before: Policy, files: Sequence[PolicyFile], hosts: Sequence[Registered], standing: Standing
) -> Plan:
    """Compare the policy in force with files that might be applied.

    Raises:
        Refusal: ``malformed-request``; they are no policy.
    """
    try:
        after = parse_policy(files)
        check_policy(after)
        after = with_holidays(after, standing.now_s)
        return plan(before, after, hosts, standing, now_s=standing.now_s)
    except PolicyError as error:
        problems_ = [str(problem) for problem in error.problems[:50]]
        raise Refusal("malformed-request", problems_[0], field="files", problems=problems_) from error
