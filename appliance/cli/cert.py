"""``chancery cert``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from appliance.cli.console import (
    Shell,
    examples,
    json_option,
    note,
    pass_shell,
    plain_errors,
    show_json,
)
from appliance.clock import format_rfc3339
from appliance.errors import ConfigError
from appliance.requests import HostCertificateBody, RevocationBody, UserCertificateBody, check_body


@click.group()
def cert() -> None:
    """Certificates: ask for them, search, decode, revoke."""


@cert.command(
    epilog=examples(
        "chancery cert sign ~/.ssh/id_ed25519.pub",
        "chancery cert sign ~/.ssh/id_ed25519.pub --host db-7.acme.example --login postgres --ttl 30m",
        "chancery cert sign /etc/ssh/ssh_host_ed25519_key.pub --for-host db-7.acme.example",
    )
)
@click.argument("public_key", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--host", "hosts", multiple=True, help="A registered host to log in to.")
@click.option("--host-group", "host_groups", multiple=True, help="A host group to log in to.")
@click.option("--login", "logins", multiple=True, help="An account to log in as.")
@click.option("--customer", help="Only what belongs to this customer.")
@click.option("--grant", help="The grant to rest on.")
@click.option("--ttl", help="At most this long, such as 30m or 8h.")
@click.option("--source", multiple=True, help="A CIDR block to be used from.")
@click.option("--permit", multiple=True, help="An extension, such as pty; without one, all of the grant's.")
@click.option("--reason", help="Why, for the record.")
@click.option("--for-host", help="Ask for the host certificate of this registered host instead.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; default: <key>-cert.pub.")
@json_option
@pass_shell
@plain_errors
def sign(
    shell: Shell,
    public_key: Path,
    hosts: tuple[str, ...],
    host_groups: tuple[str, ...],
    logins: tuple[str, ...],
    customer: str | None,
    grant: str | None,
    ttl: str | None,
    source: tuple[str, ...],
    permit: tuple[str, ...],
    reason: str | None,
    for_host: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Certify PUBLIC_KEY as local:<you>, by the same authority and policy that serve everyone."""
    line = _read_line(public_key)
    wishes: dict[str, Any] = {"public_key": line, "ttl": ttl}
    named = {
        "hosts": hosts,
        "host_groups": host_groups,
        "logins": logins,
        "source": source,
        "permit": permit,
    }
    wishes |= {name: list(values) for name, values in named.items() if values}
    wishes |= {"customer": customer, "grant": grant, "reason": reason}
    wishes = {name: value for name, value in wishes.items() if value is not None}
    if for_host is not None:
        if len(wishes) > 1 + ("ttl" in wishes):
            raise click.UsageError("--for-host goes with --ttl and --out only")
        check_body(HostCertificateBody, wishes | {"host": for_host})
        certificates = shell.ask("certificate.host", body=wishes | {"host": for_host})
    else:
        check_body(UserCertificateBody, wishes)
        certificates = shell.ask("certificate.user", body=wishes)
    paths = _write(certificates, out or public_key.with_name(f"{public_key.stem}-cert.pub"))
    if as_json:
        show_json(certificates)
        return
    for certificate, path in zip(certificates, paths, strict=True):
        until = format_rfc3339(certificate["valid_before"])
        note(f"{path}: {', '.join(certificate['principals'])} until {until}, serial {certificate['serial']}")


@cert.command(epilog=examples('chancery cert revoke 281474976710673 --reason "laptop lost"'))
@click.argument("serial")
@click.option("--reason", required=True)
@pass_shell
@plain_errors
def revoke(shell: Shell, serial: str, reason: str) -> None:
    """Revoke the certificate SERIAL. Sessions already open are not ended by it."""
    body = check_body(RevocationBody, {"serial": serial, "reason": reason})
    done = shell.ask("certificate.revoke", body=body.model_dump())
    note(f"on record as entry {done['seq']}" if "seq" in done else "it had been revoked before")


def _read_line(path: Path) -> str:
    lines = [line for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    if len(lines) != 1:
        raise ConfigError(f"{path}: expected one line, as in an id_….pub file, got {len(lines)}")
    return lines[0].strip()


def _write(certificates: list[dict[str, Any]], path: Path) -> list[Path]:
    """Write each certificate; where constraints differ there are several, and each has its number."""
    paths = [path]
    if len(certificates) > 1:
        stem = path.name.removesuffix(".pub")
        paths = [path.with_name(f"{stem}-{number}.pub") for number in range(1, len(certificates) + 1)]
    for certificate, target in zip(certificates, paths, strict=True):
        target.write_text(certificate["certificate"] + "\n", "utf-8")
    return paths
