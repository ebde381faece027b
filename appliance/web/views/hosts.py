"""``/v1/hosts``: the registered hosts. They change by order only."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from appliance.errors import Refusal, malformed
from appliance.index.going_on import host_going_on
from appliance.index.paging import list_hosts
from appliance.index.render import render_bundle, render_host
from appliance.policy.roles import is_seen
from appliance.web.caching import keepable_facts
from appliance.web.cut_replies import HostRemoved
from appliance.web.description import KEPT, problems
from appliance.web.models import AddHostOrder, HostPath, HostsQuery, RemoveHostOrder, Sized
from appliance.web.replies import CarriedOut, HostBundle, HostOnRecord, HostPage
from appliance.web.services import Services, require_sight

_TAG = Tag(name="hosts", description="Hosts, their names and labels.")


def build(services: Services) -> APIBlueprint:
    """Return the routes."""
    api = APIBlueprint("hosts", __name__, url_prefix="/v1/hosts", abp_tags=[_TAG])

    @api.get(
        "",
        summary="All hosts",
        responses={200: HostPage},
        openapi_extensions=problems("policy-denied"),
    )
    def list_(query: HostsQuery) -> Response:
        """That are registered now; for operators of any role."""
        services.await_size(query.min_size)
        with services.index.snapshot() as snapshot:
            customers = require_sight(snapshot, "host.read")
            page = list_hosts(snapshot, cursor=query.cursor, limit=query.limit, customers=customers)
        hosts = [render_host(host) for host in page.records]
        return jsonify(hosts=hosts, cursor=page.cursor, ledger_size=page.size)

    @api.get(
        "/<name>",
        summary="One host",
        responses={200: HostOnRecord},
        openapi_extensions=problems("policy-denied", "not-found"),
    )
    def show(path: HostPath, query: Sized) -> Response:
        """By name."""
        services.await_size(query.min_size)
        with services.index.snapshot() as snapshot:
            customers = require_sight(snapshot, "host.read")
            host = snapshot.host(path.name)
            if host is None or not is_seen(host.customer, customers):
                raise Refusal("not-found", f"{path.name} is not registered")
            return jsonify(render_host(host) | {"ledger_size": snapshot.size})

    @api.get(
        "/<name>/sshd",
        summary="All that a host's sshd needs",
        responses={200: HostBundle, 304: KEPT},
        openapi_extensions=problems("policy-denied", "not-found", "hsm-unavailable", "issuance-halted"),
    )
    def sshd(path: HostPath, query: Sized) -> Response:
        """Trusted CAs, principals, certificate and configuration, signed by the bundle key that hosts pin.

        For the host itself and for operators of any role. docs/formats/bundle.md says how to check it.
        """
        services.await_size(query.min_size)
        bundle = services.ask("host.sshd", name=path.name, min_size=query.min_size or 0)
        return keepable_facts(render_bundle(path.name, bundle), scope="private", known_by=bundle["statement"])

    @api.post(
        "",
        summary="Register a host, by order",
        responses={201: CarriedOut},
        openapi_extensions=problems("policy-denied", "conflict", "issuance-halted"),
    )
    def add(body: AddHostOrder) -> tuple[Response, int]:
        """The command is `host.add`, signed by an operator with the role enroller or admin."""
        return jsonify(services.order(body.command, body.orders)), 201

    @api.delete(
        "/<name>",
        summary="Remove a host, by order",
        responses={200: HostRemoved},
        openapi_extensions=problems("policy-denied", "not-found", "conflict", "issuance-halted"),
    )
    def remove(path: HostPath, body: RemoveHostOrder) -> Response:
        """The command is `host.remove`. The certificates that it has go on: they are listed."""
        if body.command.name != path.name:
            raise malformed("command.name", f"expected {path.name}, as in the path")
        done = services.order(body.command, body.orders)
        return jsonify(
            done | host_going_on(services.index, path.name, done["entries"], services.now_ms() // 1000)
        )

    return api
