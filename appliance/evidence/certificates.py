"""Certificates, judged again: intents by a replay of their decision, outcomes by the CA's signature."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from appliance.authority.fold.records import AppliedPolicy
from appliance.authority.fold.state import State
from appliance.authority.issuing.plan import Planned, cite_approvals, evaluate, plan_certificate
from appliance.errors import Refusal
from appliance.evidence.credentials import WrongIntent, check_credential
from appliance.evidence.findings import Code, Found
from appliance.evidence.hours import OtherTimeZones, by_other_rules, lies_in_window, records_hours
from appliance.evidence.relaxed import decide_but_hours
from appliance.identity.identity import Identity
from appliance.policy.evaluate import DEFAULT_DENY, Denial, Profile
from appliance.policy.zones import TZDATA
from appliance.requests import HostRequest, UserRequest, request_from_data
from appliance.ssh.certificate import decode_tbs
from appliance.ssh.content import CertificateContent
from audit.entry import Entry

# By which a grant that offers what was asked for refuses it, beside what it requires.
_OF_GRANTS: Final = frozenset({"dates", "leave", "schedule", "time-left", "delegates", "narrowing"})


class NotAllowed(Found):
    """A certificate that the policy in force did not allow, or not so."""

    code = Code.NOT_ALLOWED


class WrongDenial(Found):
    """A refusal by a rule that did not refuse."""

    code = Code.WRONG_DENIAL


def check_intent(state: State, entry: Entry) -> None:
    """Check an intent on the state before it.

    1. It cites the policy in force.
    2. Its request, identity and credential are ones that could be.
    3. The replayed decision gives a certificate with the same principals, window, options and extensions,
       resting on the same grants or host, and inside the same hours.
    4. The to-be-signed bytes are, to the last one, those that the decision leads to.

    Raises:
        WrongIntent, NotAllowed, OtherTimeZones, and whatever malformed data raise.
    """
    data: Mapping[str, Any] = entry.data
    applied = state.applied
    if applied is None or data["policy"] != applied.seq:
        raise WrongIntent("does not cite the policy in force")
    request, (identity, delegate) = request_from_data(data["request"]), _read_requester(data)
    check_credential(state, delegate or identity, entry.time_ms // 1000)
    content = decode_tbs(base64.b64decode(data["tbs"], validate=True))
    if not lies_in_window(data, content.valid_after, content.valid_before):
        raise NotAllowed("the certificate is valid outside the window that its intent records")
    requester, differs = (identity, delegate), None
    try:
        planned = _replay(state, applied, entry, requester, request, content)
    except NotAllowed as error:
        # What an intent says of its rules excuses its hours, and nothing else.
        excused = _replay_but_hours(state, applied, entry, requester, request, content)
        if excused is None:
            raise
        planned, differs = excused, error
    cited = cite_approvals(state, applied, identity, planned.profile, now_s=entry.time_ms // 1000)
    if list(data.get("approvals", [])) != cited:
        raise WrongIntent(f"rests on the approvals {cited}, and cites others")
    if (data["ca"], data["ca_key"]) != (planned.profile.ca, planned.ca_key.fingerprint):
        raise WrongIntent("names another CA or CA key than its bytes")
    if differs is not None:
        rules = f"decided by the time zone rules {data['tzdata']}, and by {TZDATA}"
        raise OtherTimeZones(f"{rules}: {differs}") from differs


def _replay(
    state: State,
    applied: AppliedPolicy,
    entry: Entry,
    requester: tuple[Identity, Identity | None],
    request: UserRequest | HostRequest,
    content: CertificateContent,
) -> Planned:
    """Decide again, and return what the decision leads to: the intent's very bytes."""
    data: Mapping[str, Any] = entry.data
    identity, delegate = requester
    outcome = evaluate(state, applied, identity, request, now_s=entry.time_ms // 1000, delegate=delegate)
    if isinstance(outcome, Denial):
        raise NotAllowed(f"the policy in force refuses it: {outcome.detail}")
    profile = _find_profile(state, outcome, data, request, content.principals)
    if not records_hours(data, profile):
        raise NotAllowed("the hours on record are not those of the decision")
    try:
        planned = plan_certificate(state, identity, request, profile, seq=entry.seq, nonce=content.nonce)
    except Refusal as refusal:
        raise WrongIntent(f"no such certificate could be made: {refusal.detail}") from refusal
    if planned.tbs != base64.b64decode(data["tbs"]):
        raise NotAllowed(
            f"the certificate is not the one that was decided: {_differences(planned.tbs, content)}"
        )
    return planned


def _replay_but_hours(
    state: State,
    applied: AppliedPolicy,
    entry: Entry,
    requester: tuple[Identity, Identity | None],
    request: UserRequest | HostRequest,
    content: CertificateContent,
) -> Planned | None:
    """Return the intent's very bytes if nothing but hours by other rules keeps the replay from them."""
    data: Mapping[str, Any] = entry.data
    if not by_other_rules(data) or isinstance(request, HostRequest):
        return None
    profiles = decide_but_hours(
        state, applied, requester, request, data, content, now_s=entry.time_ms // 1000
    )
    try:
        planned = [
            plan_certificate(state, requester[0], request, profile, seq=entry.seq, nonce=content.nonce)
            for profile in profiles
        ]
    except Refusal as refusal:
        raise WrongIntent(f"no such certificate could be made: {refusal.detail}") from refusal
    tbs = base64.b64decode(data["tbs"])
    return planned[0] if planned and all(each.tbs == tbs for each in planned) else None


def check_denial(state: State, entry: Entry) -> bool:
    """Check a refusal by replaying it; say whether it could be.

    Of counted ones the moments are not known, of long ones not all that was asked for and by whom, and by
    which time zone rules a schedule was shut is not either.

    Raises:
        WrongDenial: that rule did not refuse it, or not then.
    """
    data: Mapping[str, Any] = entry.data
    applied, now_s = state.in_force(), entry.time_ms // 1000
    if not data["first_ms"] <= data["last_ms"] <= entry.time_ms:
        raise WrongDenial("its moments are out of order, or yet to come")
    if "shortened" in data or data["first_ms"] != entry.time_ms:
        return False
    request, (identity, delegate) = request_from_data(data["request"]), _read_requester(data)
    outcome = evaluate(state, applied, identity, request, now_s=now_s, delegate=delegate)
    replayed = outcome.rule if isinstance(outcome, Denial) else None
    if replayed == data["rule"]:
        return True
    held = applied.policy.held_by(identity) if isinstance(request, UserRequest) else []
    if any(filed.grant.when for filed in held) and _may_be_by_hours(data["rule"], replayed):
        return False
    raise WrongDenial(f"the rule {data['rule']!r} did not refuse this request")


def _may_be_by_hours(recorded: str, replayed: str | None) -> bool:
    """Say whether other hours may have made one rule of the other; None is a request that is granted.

    That no grant gives something is by no hours; where one gives it that is shut, its obstacle is the rule.
    """
    rules = [recorded, replayed] if recorded == DEFAULT_DENY else [recorded]
    return any(rule in _OF_GRANTS or rule.startswith("require.") for rule in rules if rule is not None)


def _read_requester(data: Mapping[str, Any]) -> tuple[Identity, Identity | None]:
    """Return whom the decision was about, and his delegate if one asked."""
    identity = Identity.from_data(data["identity"])
    if "on_behalf_of" not in data:
        return identity, None
    if "host" in data:
        raise WrongIntent("nobody asks on behalf of others for a host's certificate")
    return Identity.from_data(data["on_behalf_of"]), identity


def _find_profile(
    state: State,
    outcome: tuple[Profile, ...],
    data: Mapping[str, Any],
    request: UserRequest | HostRequest,
    principals: tuple[str, ...],
) -> Profile:
    """Find the certificate of the decision that the intent is for, by what it says that it rests on."""
    if isinstance(request, HostRequest):
        if data.get("host") != state.hosts[request.host].seq:
            raise WrongIntent("cites another registration of the host")
        return outcome[0]
    for profile in outcome:
        grants = [{"file": filed.file, "name": filed.grant.name} for filed in profile.grants]
        if grants == data["grants"] and profile.principals == principals:
            return profile
    raise NotAllowed("no certificate of the decision has these principals on these grants")


def _differences(expected: bytes, got: CertificateContent) -> str:
    wanted = decode_tbs(expected)
    names = (
        "serial",
        "key_id",
        "type",
        "subject_key",
        "principals",
        "valid_after",
        "valid_before",
        "critical_options",
        "extensions",
        "ca_key",
    )
    return ", ".join(name for name in names if getattr(wanted, name) != getattr(got, name)) or "its encoding"
