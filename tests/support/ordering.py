"""Carol's orders, signed by ssh-keygen and given without a command line, which takes a second to start."""

from __future__ import annotations

from typing import Any

from appliance.authority.ordering.commands import CommandBody
from appliance.authority.transport.client import AuthorityClient
from appliance.cli.ordering import VALIDITY_S, sign_order
from support.service import Service


def give_order(service: Service, command: CommandBody) -> list[dict[str, Any]]:
    """Have a command carried out; return the entries that came of it."""
    client = AuthorityClient(service.data / "run" / "admin.sock")
    try:
        context = client.call("context")
        signed = sign_order(
            command.to_command(),
            origin=context["origin"],
            policy_seq=context["policy"],
            expires_s=context["now_s"] + VALIDITY_S,
            operator="carol",
            key=service.operator_key,
        )
        done = client.call("order", command=command.to_command(), orders=[signed.model_dump()])
    finally:
        client.close()
    entries: list[dict[str, Any]] = done["entries"]
    return entries
