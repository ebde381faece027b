"""Orders given as the command line gives them, without a process for each: what is signed is the same."""

from __future__ import annotations

import secrets
from typing import Any

from appliance.authority.ordering.commands import CommandBody, CreateCredential
from appliance.authority.transport.client import AuthorityClient
from appliance.cli.ordering import VALIDITY_S, sign_order
from appliance.identity.api import SECRET_BYTES, ApiCredential, format_credential, hash_secret
from support.service import Service


def give(service: Service, *commands: CommandBody) -> list[dict[str, Any]]:
    """Have carol order these; return the entries, or raise the authority's refusal."""
    client = AuthorityClient(service.data / "run" / "admin.sock")
    entries: list[dict[str, Any]] = []
    try:
        for command in commands:
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
            entries += done["entries"]
    finally:
        client.close()
    return entries


def give_credentials(service: Service, *subjects: str) -> None:
    """Make the credentials of users in advance, and wait until the last one identifies him."""
    made = [ApiCredential(secrets.token_hex(8), secrets.token_urlsafe(SECRET_BYTES)) for _ in subjects]
    commands = [
        CreateCredential(id=each.id, subject=name, kind="user", secret_sha256=hash_secret(each.secret))
        for each, name in zip(made, subjects, strict=True)
    ]
    give(service, *commands)
    for each, name in zip(made, subjects, strict=True):
        service.credentials[name] = format_credential(each)
    service.await_credential(service.credentials[subjects[-1]])
