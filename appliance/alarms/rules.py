"""Which entries are alarming, and what to say of them. Pure: entries and policies in, alarms out.

The names of events are a contract: who routes alarms goes by them (docs/alarms.md). A new kind of entry that
is alarming is one more line in :data:`_RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from appliance.clock import format_rfc3339
from appliance.identity.identity import grantee_of
from appliance.index.recorded import Recorded
from appliance.policy.document import Policy
from appliance.policy.requirements import able_to_answer
from appliance.policy.tables import Operator
from appliance.ssh.keys import fingerprint, parse_public_key_line

Severity = Literal["warning", "critical"]
Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What happened, in one line for a person; ``details`` are for a program, JSON values all."""

    event: str
    severity: Severity
    summary: str
    details: Mapping[str, object] = field(default_factory=dict)


def find_alarms(entry: Recorded, before: Policy, after: Policy) -> Iterator[Alarm]:
    """Yield the alarms of an entry; the policies in force before and after it differ if it applies one."""
    data: Data = entry.data
    if "orders" in data:
        yield from _by_break_glass(before, data, entry.kind)
    if entry.kind == "certificate.intent":
        yield from _on_break_glass(before, data)
    elif entry.kind == "policy.applied":
        yield _policy_changed(data)
        yield from _new_admins(before, after, data)
    elif entry.kind == "approval.requested":
        yield _approval_wanted(after, entry.seq, data)
    elif (rule := _RULES.get(entry.kind)) is not None:
        yield rule(entry.kind, data)


def marked_grants(policy: Policy) -> frozenset[tuple[str, str]]:
    """Return the grants that are for emergencies only, as intents cite them: by file and name."""
    return frozenset((filed.file, filed.grant.name) for filed in policy.grants if filed.grant.break_glass)


def _policy_changed(data: Data) -> Alarm:
    names = [file["name"] for file in data["files"]]
    who = _who(data)
    summary = f"{', '.join(who)} applied a policy: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
    return Alarm(
        event="policy.changed",
        severity="warning",
        summary=summary,
        details={"operators": who, "files": names},
    )


def _new_admins(before: Policy, after: Policy, data: Data) -> Iterator[Alarm]:
    """Yield one for each way in which somebody can be an admin that there was not before."""
    known = _ways(before)
    for operator in _admins(after):
        gained = sorted(_ways_of(operator) - known)
        if gained:
            yield Alarm(
                event="admin.added",
                severity="critical",
                summary=f"{', '.join(_who(data))} made {operator.name} an admin, by {', '.join(gained)}",
                details={"operator": operator.name, "by": gained, "operators": _who(data)},
            )


def _ways(policy: Policy) -> set[str]:
    return {way for operator in _admins(policy) for way in _ways_of(operator)}


def _admins(policy: Policy) -> Iterator[Operator]:
    return (operator for operator in policy.operators.values() if "admin" in operator.roles)


def _ways_of(operator: Operator) -> set[str]:
    return {*operator.identities, *map(fingerprint, operator.keys)}


def _phase(kind: str, data: Data) -> Alarm:
    key, phase = fingerprint(parse_public_key_line(data["public_key"])), kind.removeprefix("ca.")
    who = _who(data)
    return Alarm(
        event=kind,
        severity="warning",
        summary=f"the CA {data['name']} has a key that is {phase}: {key}, by order of {', '.join(who)}",
        details={"ca": data["name"], "key": key, "operators": who, "verb": data["command"]["verb"]},
    )


def _halted(kind: str, data: Data) -> Alarm:
    return Alarm(
        event=kind,
        severity="critical",
        summary=f"the CA {data['name']} is halted, key {data['ca_key']}: {data['reason']}",
        details={"ca": data["name"], "key": data["ca_key"], "reason": data["reason"]},
    )


def _approval_wanted(policy: Policy, seq: int, data: Data) -> Alarm:
    """Say who may answer: nobody else is told that somebody waits for him."""
    who, grant = _name(data["identity"]), data["grant"]
    able = sorted(able_to_answer(policy, grant, who))
    return Alarm(
        event="approval.requested",
        severity="warning",
        summary=f"{who} asks {', '.join(able[:10])} for approval {seq}, to use {grant}: {data['reason']}",
        details={
            "approval": seq,
            "subject": who,
            "grant": grant,
            "reason": data["reason"],
            "approvers": able,
            "answer_by": format_rfc3339(data["answer_by_s"]),
        },
    )


def _by_break_glass(policy: Policy, data: Data, kind: str) -> Iterator[Alarm]:
    """Yield one if an operator ordered this who is there for emergencies."""
    used = [name for name in _who(data) if name in policy.operators and policy.operators[name].break_glass]
    if used:
        verb = data["command"]["verb"]
        yield Alarm(
            event="break-glass",
            severity="critical",
            summary=f"{', '.join(used)}, for emergencies only, ordered {verb} ({kind})",
            details={"operators": used, "verb": verb, "kind": kind},
        )


def _on_break_glass(policy: Policy, data: Data) -> Iterator[Alarm]:
    """Yield one if a certificate rests on a grant that is there for emergencies."""
    marked = marked_grants(policy)
    used = [each["name"] for each in data.get("grants", ()) if (each["file"], each["name"]) in marked]
    if used:
        subject, reason = _name(grantee_of(data)), data["request"].get("reason", "")
        through = f" by way of {_name(data['identity'])}" if "on_behalf_of" in data else ""
        yield Alarm(
            event="break-glass",
            severity="critical",
            summary=f"{subject} used{through} {', '.join(used)}, for emergencies only: "
            f"{reason or 'no reason given'}",
            details={"subject": subject, "grants": used, "reason": reason, "ca": data["ca"]},
        )


def _name(identity: Data) -> str:
    return f"{identity['provider']}:{identity['subject']}"


def _who(data: Data) -> list[str]:
    return [order["operator"] for order in data["orders"]]


_RULES: Final[Mapping[str, Callable[[str, Data], Alarm]]] = {
    "ca.created": _phase,
    "ca.trusted": _phase,
    "ca.signing": _phase,
    "ca.retired": _phase,
    "ca.halted": _halted,
}
