"""From a decision to the bytes that a CA key is asked to sign: steps 4 and 5 of the issuance cycle, pure.

Whoever replays the ledger calls the same functions and must arrive at the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.authority.cutting.locks import deny_locked, deny_locked_ca
from appliance.authority.fold.records import AppliedPolicy, CaKey
from appliance.authority.fold.state import State
from appliance.authority.issuing.circumstances import find_circumstances
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.key_ids import format_key_id
from appliance.policy.evaluate import Denial, Profile, evaluate_host, evaluate_user
from appliance.policy.requirements import find_approval
from appliance.policy.roles import may_act
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.certificate import CertificateContent, CertificateType, encode_tbs
from appliance.ssh.errors import SshFormatError
from appliance.ssh.options import FORCE_COMMAND, SOURCE_ADDRESS, VERIFY_REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """An intent before it has an entry."""

    profile: Profile
    ca_key: CaKey
    content: CertificateContent
    tbs: bytes


def evaluate(
    state: State,
    applied: AppliedPolicy,
    identity: Identity,
    request: UserRequest | HostRequest,
    *,
    now_s: int,
    delegate: Identity | None = None,
) -> tuple[Profile, ...] | Denial:
    """Decide a request on a state; pure, so that a replay of the ledger decides the same.

    ``identity`` is whom certificates are for, ``delegate`` who asks on his behalf.
    """
    for requester in (identity, delegate):
        if requester is not None and (locked := deny_locked(state, applied, requester, request)) is not None:
            return locked
    outcome = _evaluate(state, applied, identity, request, now_s=now_s, delegate=delegate)
    return outcome if isinstance(outcome, Denial) else deny_locked_ca(state, outcome) or outcome


def _evaluate(
    state: State,
    applied: AppliedPolicy,
    identity: Identity,
    request: UserRequest | HostRequest,
    *,
    now_s: int,
    delegate: Identity | None,
) -> tuple[Profile, ...] | Denial:
    if isinstance(request, UserRequest):
        return evaluate_user(
            applied.policy,
            state.hosts,
            identity,
            request,
            find_circumstances(state, applied, identity, delegate),
            now_s=now_s,
            max_ttl_s=state.max_ttl_s,
        )
    if not may_act(applied.policy, identity, "host.certify"):
        return Denial(rule="host.certify", detail="asking for host certificates needs the role enroller")
    host = state.hosts.get(request.host)
    if host is None:
        return Denial(rule="host", detail=f"{request.host} is not registered")
    profile = evaluate_host(applied.policy, host, request, now_s=now_s, max_ttl_s=state.max_ttl_s)
    return profile if isinstance(profile, Denial) else (profile,)


def cite_approvals(
    state: State, applied: AppliedPolicy, identity: Identity, profile: Profile, *, now_s: int
) -> list[int]:
    """Return the entries that asked for the approvals on which a profile rests, in their order."""
    demanding = [filed.grant for filed in profile.grants if filed.grant.require.approvals]
    if not demanding:
        return []
    approvals, name = find_circumstances(state, applied, identity).approvals, str(identity)
    found = [find_approval(applied.policy, grant, name, approvals, now_s) for grant in demanding]
    return sorted({approval.seq for approval in found if approval is not None})


def plan_certificate(
    state: State,
    identity: Identity,
    request: UserRequest | HostRequest,
    profile: Profile,
    *,
    seq: int,
    nonce: bytes,
) -> Planned:
    """Build the certificate of a profile, whose intent will be entry ``seq``.

    Raises:
        Refusal: ``issuance-halted``, no key signs for the profile's CA; ``unacceptable-key``.
    """
    of_user = isinstance(request, UserRequest)
    certificate_type = CertificateType.USER if of_user else CertificateType.HOST
    ca_key = _signing_key(state, profile, certificate_type)
    subject = str(identity) if isinstance(request, UserRequest) else f"host:{request.host}"
    content = CertificateContent(
        nonce=nonce,
        subject_key=request.public_key,
        serial=state.serial(seq),
        type=certificate_type,
        key_id=format_key_id(subject, state.log_number, seq),
        principals=profile.principals,
        valid_after=profile.valid_after,
        valid_before=profile.valid_before,
        critical_options=critical_options(profile),
        extensions=tuple((name, "") for name in profile.extensions),
        ca_key=ca_key.public_key,
    )
    try:
        return Planned(profile=profile, ca_key=ca_key, content=content, tbs=encode_tbs(content))
    except SshFormatError as error:
        raise Refusal("unacceptable-key", str(error), field=error.field) from error


def _signing_key(state: State, profile: Profile, certificate_type: CertificateType) -> CaKey:
    """Return the key that signs for the profile; its CA must be of that kind and that customer."""
    ca = state.cas.get(profile.ca)
    key = None if ca is None else ca.signing_key
    if ca is None or key is None:
        raise Refusal(
            "issuance-halted",
            f"the CA {profile.ca} has no key that signs: create one with `chancery ca create`",
        )
    if (ca.type, ca.customer) != (certificate_type.name.lower(), profile.customer):
        raise Refusal(
            "issuance-halted",
            f"the CA {ca.name} was made for {ca.type} certificates of {ca.customer}: the policy must name "
            "another one",
        )
    if key.halted:
        raise Refusal(
            "issuance-halted",
            f"the CA {ca.name} is halted: the token gave a bad signature for its key {key.fingerprint}; an "
            "operator makes another with `chancery ca rotate`",
        )
    return key


def critical_options(profile: Profile) -> tuple[tuple[str, str], ...]:
    """Return a profile's critical options, in the order that PROTOCOL.certkeys asks for."""
    options = []
    if profile.force_command is not None:
        options.append((FORCE_COMMAND, profile.force_command))
    if profile.source is not None:
        options.append((SOURCE_ADDRESS, ",".join(profile.source)))
    if profile.verify:
        options.append((VERIFY_REQUIRED, ""))
    return tuple(options)
