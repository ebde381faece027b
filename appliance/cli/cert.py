"""``chancery cert``."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import click

from appliance.authority.publishing.krl import check_krl
from appliance.cli.calling import find_caller
from appliance.cli.console import (
    EXIT_FAILED,
    Shell,
    examples,
    json_option,
    note,
    note_more,
    page_options,
    pass_shell,
    plain_errors,
    show_fields,
    show_json,
    show_table,
)
from appliance.cli.cutting import read_key, read_line, replace_file, show_cut
from appliance.cli.sight import shown_customers
from appliance.cli.values import SERIAL
from appliance.clock import format_rfc3339, now_s
from appliance.cutting import RevocationBody
from appliance.errors import Refusal
from appliance.index.cut import render_revoked
from appliance.index.inspect import inspect_certificate, parse_any_certificate
from appliance.index.render import render_krl, render_release
from appliance.index.search import CertificateFilter, StateName
from appliance.requests import HostCertificateBody, UserCertificateBody, check_body
from appliance.ssh.keys import parse_public_key_line
from appliance.ssh.krl import decode_krl


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
@click.option("--start", help="From this moment on (RFC 3339), at most a day ahead.")
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
    start: str | None,
    source: tuple[str, ...],
    permit: tuple[str, ...],
    reason: str | None,
    for_host: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Certify PUBLIC_KEY as local:<you>, by the same authority and policy that serve everyone."""
    line = read_line(public_key)
    wishes: dict[str, Any] = {"public_key": line, "ttl": ttl, "start": start}
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
        release = shell.ask("certificate.host", body=wishes | {"host": for_host})
    else:
        check_body(UserCertificateBody, wishes)
        release = shell.ask("certificate.user", body=wishes)
    rendered = render_release(release)
    certificates = rendered["certificates"]
    paths = _write(certificates, out or public_key.with_name(f"{public_key.stem}-cert.pub"))
    if as_json:
        show_json(rendered)
        return
    for certificate, path in zip(certificates, paths, strict=True):
        principals = ", ".join(certificate["principals"])
        note(f"{path}: {principals} until {certificate['valid_before']}, serial {certificate['serial']}")


@cert.command(
    epilog=examples(
        'chancery cert revoke 281474976710673 --reason "laptop lost"',
        'chancery cert revoke --key SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg --reason "key stolen"',
        'chancery cert revoke --subject oidc:ada --reason "account taken over"',
    )
)
@click.argument("serial", required=False)
@click.option("--key-id", help="The certificate with this key id, as sshd logs it.")
@click.option("--key", help="All for this public key, and the key: SHA256:… or a .pub file.")
@click.option("--subject", help="All that this identity holds, such as api:alice; host:NAME is a host's.")
@click.option("--reason", required=True, help="Why, for the record.")
@json_option
@pass_shell
@plain_errors
def revoke(
    shell: Shell,
    serial: str | None,
    key_id: str | None,
    key: str | None,
    subject: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Revoke the certificate SERIAL, or others. Sessions already open are not ended by it."""
    named = {
        "serial": serial,
        "key_id": key_id,
        "key": key and read_key(key),
        "subject": subject,
        "reason": reason,
    }
    body = check_body(RevocationBody, {name: value for name, value in named.items() if value is not None})
    done = shell.ask("certificate.revoke", body=body.model_dump(exclude_none=True))
    show_cut(render_revoked(shell.index(), body.named, done), as_json=as_json)


@cert.command(
    epilog=examples(
        "chancery cert krl acme-users --out revoked_keys --verify",
        "ssh-keygen -Q -l -f revoked_keys",
        "chancery cert krl acme-users --json     # with the signed statement: docs/formats/krl.md",
    )
)
@click.argument("ca")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; default: standard output.")
@click.option("--verify", is_flag=True, help="Check the statement's signature and freshness first.")
@json_option
@pass_shell
@plain_errors
def krl(shell: Shell, ca: str, out: Path | None, verify: bool, as_json: bool) -> None:
    """Print the KRL of CA, for RevokedKeys of sshd. It covers all such CAs of the same customer."""
    told = shell.ask("krl", ca=ca)
    if verify:
        _verify(shell, told)
    if "signature" not in told:
        raise Refusal("hsm-unavailable", "the token does not sign just now; try again")
    if as_json:
        show_json({**render_krl(ca, told), "krl": base64.b64encode(told["krl"]).decode()})
    elif out is not None:
        replace_file(out, told["krl"])
    else:
        click.echo(told["krl"], nl=False)
    note(f"version {told['version']}, fresh until {format_rfc3339(told['fresh_until_s'])}")


def _verify(shell: Shell, told: dict[str, Any]) -> None:
    """Verify as a host would, with the key that entry 0 names."""
    with shell.look() as snapshot:
        log = snapshot.log()
    bundle_key = parse_public_key_line(log.bundle_key)
    signature = told.get("signature", "")
    check_krl(
        told["krl"], told["statement"], signature, origin=log.origin, bundle_key=bundle_key, now_s=now_s()
    )
    decode_krl(told["krl"])
    note("verified: signed by the bundle key, fresh, and well formed")


@cert.command(
    "list",
    epilog=examples(
        "chancery cert list --subject api:alice",
        "chancery cert list --state active --principal postgres@acme-db --json",
    ),
)
@click.option("--subject", help="Of this identity, such as api:alice, or of a person of the policy.")
@click.option("--principal", help="With this principal, such as postgres@acme-db.")
@click.option("--host", help="The host certificates of this host.")
@click.option("--customer", help="By this customer's CAs.")
@click.option("--key-id", help="With this key id.")
@click.option("--fingerprint", help="Of this subject key: SHA256:…")
@click.option("--type", "kind", type=click.Choice(["user", "host"]), help="Of this type.")
@click.option(
    "--state",
    type=click.Choice(["pending", "active", "expired", "revoked", "failed"]),
    help="That are good for this now.",
)
@page_options
@json_option
@pass_shell
@plain_errors
def list_(
    shell: Shell,
    subject: str | None,
    principal: str | None,
    host: str | None,
    customer: str | None,
    key_id: str | None,
    fingerprint: str | None,
    kind: str | None,
    state: StateName | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """Search certificates, newest first."""
    wanted = CertificateFilter(
        subject=subject,
        principal=principal,
        host=host,
        customer=customer,
        key_id=key_id,
        fingerprint=fingerprint,
        type=kind,
        state=state,
    )
    page = find_caller(shell).list_certificates(wanted, limit=limit, cursor=cursor)
    if as_json:
        show_json(page)
        return
    rows = [
        (each["serial"], each["state"], each["subject"], ", ".join(each["principals"]), each["valid_before"])
        for each in page["certificates"]
    ]
    show_table(["serial:", "state:", "asked by:", "principals", "until:"], rows, empty="no certificate")
    note_more(page["cursor"])


@cert.command(epilog=examples("chancery cert show 281474976710673"))
@click.argument("serial", type=SERIAL)
@json_option
@pass_shell
@plain_errors
def show(shell: Shell, serial: str, as_json: bool) -> None:
    """Show all that is on record of the certificate SERIAL."""
    rendered = find_caller(shell).show_certificate(serial)
    if as_json:
        show_json(rendered)
    else:
        show_fields({name: _plain(value) for name, value in rendered.items()})


@cert.command(epilog=examples("chancery cert inspect id_ed25519-cert.pub"))
@click.argument("certificate", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@pass_shell
@plain_errors
def inspect(shell: Shell, certificate: Path, as_json: bool) -> None:
    """Look a certificate over: decode it, check its signature, and say whether it is on record.

    Exit 1 if it is not: then someone else has signed it, or with a key that was stolen.
    """
    parsed = parse_any_certificate(read_line(certificate))
    with shell.look() as snapshot:
        customers = shown_customers(snapshot, "certificate.read")
        inspected = inspect_certificate(snapshot, parsed, now_s(), customers)
    if as_json:
        show_json(inspected)
    else:
        show_fields({name: _plain(value) for name, value in inspected.items() if name != "record"})
    if not inspected["on_record"]:
        sys.exit(EXIT_FAILED)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write(certificates: list[dict[str, Any]], path: Path) -> list[Path]:
    """Write each certificate; where constraints differ there are several, and each has its number."""
    paths = [path]
    if len(certificates) > 1:
        stem = path.name.removesuffix(".pub")
        paths = [path.with_name(f"{stem}-{number}.pub") for number in range(1, len(certificates) + 1)]
    for certificate, target in zip(certificates, paths, strict=True):
        target.write_text(certificate["certificate"] + "\n", "utf-8")
    return paths
