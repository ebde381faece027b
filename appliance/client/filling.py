"""Certificates for a key, and into the ssh-agent with them: they leave it when they end."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.client.agent import Agent
from appliance.client.replies import Certificate, Certificates
from appliance.client.saved import Login
from appliance.client.service import ServiceClient
from appliance.clock import format_rfc3339
from appliance.errors import ConfigError
from appliance.key_ids import is_key_id_of
from appliance.ssh.certificate import inspect_certificate_blob
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import format_public_key_line, from_cryptography

_ROUTE: Final = "/v1/certificates/user"
# What the agent shows of a key that was made here.
COMMENT: Final = "chancery "
# What an agent can count (draft-ietf-sshm-ssh-agent): 136 years.
_MAX_LIFETIME_S: Final = 2**32 - 1


def fill_with_new_key(
    client: ServiceClient, login: Login, wishes: dict[str, object], agent: Agent, *, now_s: int
) -> list[Certificate]:
    """Make an Ed25519 key that is nowhere but in the agent, and obtain its certificates; return them.

    What an earlier login put there goes.

    Raises:
        Refusal: the service's.
        ConfigError: the agent does not take them, or they have ended by this machine's clock.
    """
    key = Ed25519PrivateKey.generate()
    line = format_public_key_line(from_cryptography(key.public_key()))
    certificates = _obtain(client, login, wishes | {"public_key": line}, now_s)
    empty(agent, login.identity)
    for each in certificates:
        agent.add_certificate(key, each.blob, f"{COMMENT}{login.url}", _lifetime_s(each, now_s))
    return certificates


def fill_with_file(
    client: ServiceClient, login: Login, wishes: dict[str, object], path: Path, agent: Agent, *, now_s: int
) -> list[Certificate]:
    """Obtain certificates for the key in a file, and have ``ssh-add`` add both; return them.

    What an earlier login put there goes. The certificate stays beside the key, as ssh looks for it; of
    several, the one that lasts longest.

    Raises:
        Refusal: the service's.
        ConfigError: there is no public key beside the key, ssh-add does not add it, or the clock is off.
    """
    public = path.with_name(f"{path.name}.pub")
    try:
        line = public.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{public}: cannot be read: {error}") from error
    certificates = _obtain(client, login, wishes | {"public_key": line}, now_s)
    empty(agent, login.identity)
    beside = path.with_name(f"{path.name}-cert.pub")
    for each in sorted(certificates, key=lambda one: _lifetime_s(one, now_s)):
        beside.write_text(f"{each.certificate}\n", "utf-8")
        lifetime = str(_lifetime_s(each, now_s))
        if not _ssh_add("-q", "-t", lifetime, "--", str(path)):
            raise ConfigError(f"ssh-add did not add {path}; its certificate is in {beside}")
    return certificates


def _ssh_add(*arguments: str) -> bool:
    """Run OpenSSH's ssh-add, which asks for a passphrase by itself; say whether it did what it should."""
    try:
        return subprocess.run(["ssh-add", *arguments], check=False).returncode == 0
    except FileNotFoundError as error:
        raise ConfigError("there is no ssh-add: install the client of OpenSSH") from error


def empty(agent: Agent, identity: str) -> int:
    """Remove an identity's certificates from an agent, of whatever key; return how many there were."""
    ours = [held for held in agent.held() if _is_of(held.blob, identity)]
    for held in ours:
        agent.remove(held.blob)
    return len(ours)


def holds(agent: Agent, identity: str, at_s: int) -> bool:
    """Say whether an agent has a certificate of an identity that is good at a moment."""
    return any(
        _is_of(held.blob, identity) and _validity(held.blob)[0] <= at_s < _validity(held.blob)[1]
        for held in agent.held()
    )


def _validity(blob: bytes) -> tuple[int, int]:
    content = inspect_certificate_blob(blob).content
    return content.valid_after, content.valid_before


def _is_of(blob: bytes, identity: str) -> bool:
    try:
        return is_key_id_of(inspect_certificate_blob(blob).content.key_id, identity)
    except SshFormatError:  # a key without a certificate, or somebody else's of a kind that we do not know
        return False


def check_clock(what: str, ends_s: int, now_s: int) -> None:
    """Check that what was given a moment ago has not ended already, by the clock of this machine.

    Raises:
        ConfigError: it has.
    """
    if ends_s <= now_s:
        raise ConfigError(
            f"{what} is good until {format_rfc3339(ends_s)}, and this machine's clock says that it is "
            f"{format_rfc3339(now_s)}: set the clock"
        )


def _obtain(client: ServiceClient, login: Login, wishes: dict[str, object], now_s: int) -> list[Certificate]:
    certificates = client.post(_ROUTE, Certificates, wishes, login.credential).certificates
    for each in certificates:
        check_clock(f"the certificate {each.serial}", each.ends_s, now_s)
    return certificates


def _lifetime_s(certificate: Certificate, now_s: int) -> int:
    """Return the seconds until a certificate ends; never 0, which means for ever to an agent."""
    return min(certificate.ends_s - now_s, _MAX_LIFETIME_S)
