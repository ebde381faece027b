"""What a host's sshd needs, as a document and as the statement that is signed over it. Pure.

The document (docs/formats/bundle.md) says what to install and nothing of when: it changes when trust, policy,
labels or the certificate do. The statement names the log, the host, the ledger's size, the document's SHA-256
and two moments; an SSHSIG by the bundle key is made over that. A host believes the key that it pinned, so
that whoever carries the two can withhold them, and do nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from appliance.authority.fold.records import AppliedPolicy, Ca, IssuedCertificate
from appliance.authority.fold.state import State
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.policy.document import Policy
from appliance.policy.evaluate import Host
from appliance.policy.roles import ALL, is_seen, seen_customers
from appliance.policy.tables import HostGroup
from appliance.ssh.keys import format_public_key_line
from audit.entry import canonical_json

NAMESPACE: Final = "bundle@chancery"
VERSION: Final = 2
# Where the lines for sshd_config expect the files; the document names each below it.
DIRECTORY: Final = "/etc/ssh/chancery"
# A host that gets nothing newer for this long is cut off from its authority, and should say so.
FRESH_S: Final = 6 * 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """What concerns one host, at one moment of the ledger. ``certificate`` is its newest valid one."""

    origin: str
    size: int
    now_s: int
    host: Host
    applied: AppliedPolicy
    cas: tuple[Ca, ...]
    certificate: IssuedCertificate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStatement:
    """A statement with its armored SSHSIG, and the SHA-256 of the document that it is about."""

    digest: bytes
    size: int
    generated_s: int
    statement: str
    signature: str

    def covers(self, document: bytes, *, now_s: int, min_size: int) -> bool:
        """Say whether it need not be made again: it says the same, and half of its time is not over."""
        same = self.digest == hashlib.sha256(document).digest()
        return same and 0 <= now_s - self.generated_s < FRESH_S // 2 and self.size >= min_size


def view_host(state: State, identity: Identity, name: str, now_s: int) -> HostView:
    """Take from the state what a host's document is made of, for whoever may have it.

    Raises:
        Refusal: ``policy-denied``, it is neither the host itself nor an operator of any role; ``not-found``,
            it is not registered, or not of a customer that he sees; ``issuance-halted``, there is no policy.
    """
    applied = state.in_force()
    itself = identity.kind == "host" and identity.subject == name
    customers = ALL if itself else seen_customers(applied.policy, identity, "host.read")
    if not itself and state.locks.on(applied.policy, identity):
        customers = frozenset()
    if customers == frozenset():
        raise Refusal("policy-denied", f"{identity} is neither {name} nor an operator", rule="host.read")
    host = state.hosts.get(name)
    if host is None or not is_seen(host.customer, customers):
        raise Refusal("not-found", f"{name} is not registered")
    return HostView(
        origin=state.origin,
        size=state.size,
        now_s=now_s,
        host=host,
        applied=applied,
        cas=tuple(state.cas.values()),
        certificate=state.newest_host_certificate(name, now_s),
    )


def build_document(view: HostView, certificate: str | None) -> bytes:
    """Return the canonical JSON (RFC 8785) of all that the host is to install.

    ``certificate`` is the line of ``view.certificate``, which the state does not hold.
    """
    policy, host = view.applied.policy, view.host
    document: dict[str, object] = {
        "v": VERSION,
        "origin": view.origin,
        "host": host.name,
        "customer": host.customer,
        "names": list(host.names),
        "trusted_user_cas": "".join(_trusted_lines(view)),
        "principals": [
            {"login": login, "text": "".join(f"{principal}\n" for principal in principals)}
            for login, principals in _principals(policy, host).items()
        ],
        "sshd_config": "".join(f"{line}\n" for line in _sshd_config(view, certified=certificate is not None)),
    }
    if (ca := _krl_of(view)) is not None:
        document["krl"] = f"/v1/krl/{ca}"
    if certificate is not None:
        document["host_certificate"] = f"{certificate}\n"
    return canonical_json(document)


def bundle_statement(
    view: HostView, document: bytes, *, size: int, generated_s: int, fresh_until_s: int
) -> bytes:
    """Return the message that the bundle key signs; no other message can be taken for it."""
    digest = hashlib.sha256(document).hexdigest()
    lines = ("chancery/bundle/v1", view.origin, view.host.name, size, digest, generated_s, fresh_until_s)
    return "".join(f"{line}\n" for line in lines).encode()


def _trusted_lines(view: HostView) -> Iterator[str]:
    """Yield the keys that may have signed, or may yet sign, the certificates of the customer's users."""
    for ca in _user_cas(view):
        for key in ca.trusted_keys:
            yield f"{format_public_key_line(key.public_key)} {ca.name}\n"


def _user_cas(view: HostView) -> list[Ca]:
    """Return the CAs that were made for the customer's users: no other's certificates are in his KRLs."""
    of_customer = (ca for ca in view.cas if (ca.type, ca.customer) == ("user", view.host.customer))
    return sorted(of_customer, key=lambda ca: ca.name)


def _krl_of(view: HostView) -> str | None:
    """Return the CA whose KRL the host needs; that of one covers all of its customer.

    One that the host trusts, if there is any, since its statement names a key of it.
    """
    found = min(_user_cas(view), key=lambda ca: (not ca.trusted_keys, ca.name), default=None)
    return None if found is None else found.name


def _principals(policy: Policy, host: Host) -> Mapping[str, list[str]]:
    """Return, for each login that a grant gives on a group the host is in, the principals that may use it."""
    pairs = {
        (login, group.principal(login))
        for group in _groups(policy.host_groups.values(), host)
        for filed in policy.grants
        if group.name in filed.grant.on
        for login in filed.grant.logins
    }
    found: dict[str, list[str]] = {}
    for login, principal in sorted(pairs):
        found.setdefault(login, []).append(principal)
    return found


def _groups(groups: Iterable[HostGroup], host: Host) -> Iterator[HostGroup]:
    return (group for group in groups if host.is_in(group))


def _sshd_config(view: HostView, *, certified: bool) -> Iterator[str]:
    yield f"TrustedUserCAKeys {DIRECTORY}/trusted_user_cas"
    # A login without a file there has no principal, and so no certificate that is good for it.
    yield f"AuthorizedPrincipalsFile {DIRECTORY}/principals/%u"
    if _krl_of(view) is not None:
        yield f"RevokedKeys {DIRECTORY}/revoked_keys"
    if certified:
        yield f"HostCertificate {DIRECTORY}/host-cert.pub"
