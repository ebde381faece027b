"""Histories of a log that hypothesis draws: raw entries, of which many share their moment with others."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st

from appliance.ssh.certificate import CertificateContent, CertificateType, encode_tbs
from appliance.ssh.keys import PublicKey, fingerprint, format_public_key_line
from audit.entry import FIRST_PREV, Entry, encode_entry
from support.authority import VKEY
from support.ssh_examples import public_key

START_MS: Final = 1_764_000_000_000
SUBJECTS: Final = ("alice", "bob", "ci")
HOSTS: Final = ("web-1.acme.example", "web-2.acme.example", "db-1.acme.example", "box.beta.example")
CUSTOMERS: Final = ("acme", "beta")
LOGINS: Final = ("root", "deploy")
USER_PRINCIPALS: Final = ("root@web", "deploy@web", "root@db", "root@eu", "root", "deploy", "root@gone")
LIFETIMES_S: Final = (0, 1, 3, 60, 64, 65, *[3_600] * 8)
# Seconds and their neighbours, since certificates count in those and entries in milliseconds.
STEPS_MS: Final = (0, 0, 0, 1, 500, 999, 1_000, 2_000, 30_000, 61_000)


@dataclass(slots=True)
class History:
    """Entries, one after the other."""

    entries: list[Entry] = field(default_factory=list)
    now_ms: int = START_MS

    def add(self, kind: str, data: dict[str, Any]) -> Entry:
        """Append an entry at the present moment."""
        prev = self.entries[-1].leaf_hash if self.entries else FIRST_PREV
        entry = encode_entry(kind=kind, v=1, data=data, prev=prev, seq=len(self.entries), time_ms=self.now_ms)
        self.entries.append(entry)
        return entry

    @property
    def intents(self) -> list[int]:
        """The intents so far."""
        return [entry.seq for entry in self.entries if entry.kind == "certificate.intent"]

    @property
    def open_intents(self) -> list[int]:
        """The intents without an outcome."""
        closed = {entry.data["intent"] for entry in self.entries if "intent" in entry.data}
        return [seq for seq in self.intents if seq not in closed]


def ordered(verb: str) -> dict[str, Any]:
    """Return the members of an order that nobody will verify."""
    order = {"operator": "carol", "policy": 0, "expires_s": 0, "signature": "AAAA"}
    return {"command": {"verb": verb}, "orders": [order]}


def identity(subject: str) -> dict[str, Any]:
    """Return an identity as entries have it."""
    return {
        "provider": "oidc",
        "subject": subject,
        "kind": "user",
        "groups": [],
        "claims": [],
        "mfa": False,
        "authenticated_ms": START_MS,
    }


def ca_key(customer: str, kind: str) -> PublicKey:
    """Return the key of a customer's CA."""
    return public_key("ed25519", 50 + 2 * CUSTOMERS.index(customer) + (kind == "host"))


def begin() -> History:
    """Return a history of a log, four CA keys and nothing else."""
    history = History()
    keys = {
        name: format_public_key_line(public_key("ed25519", number))
        for number, name in enumerate(("bundle_key", "probe_key"), start=40)
    }
    opened = {"format": 1, "origin": "ca.example.org/log/1", "log_number": 1, "nonce": "AAAA"}
    history.add(
        "log.opened", {**opened, **keys, "ledger_key": VKEY, "max_ttl_s": 86_400, "software": "tests"}
    )
    for customer in CUSTOMERS:
        for kind in ("user", "host"):
            for phase in ("created", "trusted", "signing"):
                ca = {
                    "name": f"{customer}-{kind}s",
                    "type": kind,
                    "customer": customer,
                    "public_key": format_public_key_line(ca_key(customer, kind)),
                    "transcript": "none",
                }
                history.add(f"ca.{phase}", ca | ordered("ca.create"))
    return history


def policy_text(
    match: str,
    members: list[str],
    who: list[str],
    logins: list[str],
    *,
    bare: bool,
    limit: str = "",
    person: bool = False,
) -> str:
    """Return a policy; what is drawn is which hosts, who, as whom, a limit of the grants, and a person."""
    quoted = [f'"{name}"' for name in members]
    lines = ["version = 1"]
    lines += [
        f'[[customer]]\nname = "{name}"\nuser_ca = "{name}-users"\nhost_ca = "{name}-hosts"'
        for name in CUSTOMERS
    ]
    lines += [f'[[host_group]]\nname = "web"\ncustomer = "acme"\nmatch = {{ {match} }}']
    lines += [f'[[host_group]]\nname = "db"\ncustomer = "acme"\nhosts = ["{HOSTS[2]}", "{HOSTS[0]}"]']
    lines += ['[[host_group]]\nname = "eu"\ncustomer = "acme"\nmatch = { region = "eu", role = "web" }']
    taken = 'principals = "login"\n' if bare else ""
    lines += [f'[[host_group]]\nname = "beta"\ncustomer = "beta"\n{taken}match = {{ role = "web" }}']
    lines += [f'[[group]]\nname = "staff"\nmembers = [{", ".join(quoted)}]']
    lines += ['[[group]]\nname = "all"\nmembers = ["oidc:alice", "oidc:bob"]']
    for number, name in enumerate(who):
        on = ('"web", "db"', '"beta"', '"eu", "beta"')[number % 3]
        as_ = ", ".join(f'"{login}"' for login in logins)
        lines += [f'[[grant]]\nname = "g{number}"\nwho = {name}\non = [{on}]\nas = [{as_}]\nttl = "8h"']
        lines += [limit]
    lines += ['[[schedule]]\nname = "office"\ntimezone = "UTC"\nwindows = ["mon 08:00-16:01"]']
    lines += ['holidays = "DE"']
    if person:
        lines += ['[[person]]\nname = "alice"\nidentities = ["oidc:alice", "mtls:dora"]']
    key = format_public_key_line(public_key("ed25519", 7))
    lines += [f'[[operator]]\nname = "carol"\nkeys = ["{key}"]\nroles = ["admin", "auditor"]']
    lines += ['identities = ["oidc:carol"]']
    return "\n".join(lines) + "\n"


WHO: Final = (
    '{ users = ["oidc:alice"] }',
    '{ users = ["oidc:bob"], groups = ["staff", "oidc:team"] }',
    '{ services = ["oidc:ci"], groups = ["all", "staff"] }',
    '{ groups = ["oidc:team", "all"] }',
)


# It is Monday, 2025-11-24, 16:00 in UTC when a history begins.
LIMITS: Final = ('when = "office"', 'from = "2025-11-25"', 'until = "2025-11-23"')


def some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    """Draw some of these, at least one."""
    return st.lists(st.sampled_from(values), min_size=1, unique=True)


policies = st.builds(
    policy_text,
    match=st.sampled_from(['role = "web"', 'region = "eu"']),
    members=some(("oidc:alice", "oidc:ci", "mtls:dora")),
    who=st.lists(st.sampled_from(WHO), max_size=3),
    logins=some(LOGINS),
    bare=st.booleans(),
    limit=st.sampled_from(["", "", *LIMITS]),
    person=st.booleans(),
)


@st.composite
def histories(draw: st.DrawFn, *, max_steps: int = 30) -> list[Entry]:
    """Draw a history: what the authority could write, and some things that it would not.

    Most begin with a policy and with hosts: without, hardly a question has an answer.
    """
    history = begin()
    if draw(st.integers(0, 5)):
        for step in (_apply, _register, _register, _register):
            step(draw, history)
    steps = draw(st.lists(st.sampled_from(_STEPS), min_size=min(12, max_steps), max_size=max_steps))
    for step in steps:
        history.now_ms += draw(st.sampled_from(STEPS_MS))
        step(draw, history)
    return history.entries


def _apply(draw: st.DrawFn, history: History) -> None:
    text = draw(policies)
    apply_text(history, text, holidays=draw(st.sampled_from((["2025-12-25"], ["2025-11-24", "2025-12-25"]))))


def apply_text(history: History, text: str, *, holidays: list[str]) -> None:
    """Append what applies a policy of one file, in two parts."""
    half = len(text) // 2
    first = history.add("policy.file", {"name": "p.toml", "part": 0, "parts": 2, "text": text[:half]}).seq
    history.add("policy.file", {"name": "p.toml", "part": 1, "parts": 2, "text": text[half:]})
    digest = hashlib.sha256(text.encode()).hexdigest()
    file = {"name": "p.toml", "sha256": digest, "seqs": [first, first + 1]}
    calendar = {"calendar": "DE", "first_year": 2025, "last_year": 2026, "dates": holidays}
    applied = {"files": [file], "evaluator": 2, "holidays": [calendar]}
    history.add("policy.applied", applied | ordered("policy.apply"))


def _register(draw: st.DrawFn, history: History) -> None:
    name = draw(st.sampled_from(HOSTS))
    labels = {"role": draw(st.sampled_from(("web", "db"))), "region": draw(st.sampled_from(("eu", "us")))}
    customer = "beta" if name.endswith("beta.example") else "acme"
    listed = [{"name": key, "value": labels[key]} for key in sorted(labels)]
    host = {"name": name, "customer": customer, "names": [name], "labels": listed}
    history.add("host.registered", host | ordered("host.add"))


def _remove(draw: st.DrawFn, history: History) -> None:
    history.add("host.removed", {"name": draw(st.sampled_from(HOSTS))} | ordered("host.remove"))


def _intend(draw: st.DrawFn, history: History) -> None:
    of_host = draw(st.integers(0, 4)) == 0
    customer = draw(st.sampled_from(CUSTOMERS))
    kind = "host" if of_host else "user"
    host = draw(st.sampled_from(HOSTS))
    principals = [host] if of_host else draw(some(USER_PRINCIPALS))
    seq, now_s = len(history.entries), history.now_ms // 1000
    subject = draw(st.sampled_from(SUBJECTS))
    key = public_key("ed25519", draw(st.integers(1, 3)))
    valid_after = now_s - draw(st.sampled_from((0, 60)))
    content = CertificateContent(
        nonce=bytes(32),
        subject_key=key,
        serial=1 << 48 | seq,
        type=CertificateType.HOST if of_host else CertificateType.USER,
        key_id=f"oidc:{subject}#1.{seq}",
        principals=tuple(sorted(principals)),
        valid_after=valid_after,
        valid_before=max(valid_after + 1, now_s + draw(st.sampled_from(LIFETIMES_S))),
        ca_key=ca_key(customer, kind),
    )
    request: dict[str, Any] = {"public_key": format_public_key_line(key)}
    basis: dict[str, Any] = {"grants": [{"file": "p.toml", "name": "g0"}]}
    if of_host:
        request["host"], basis = host, {"host": 0}
    intent = {
        "ca": f"{customer}-{kind}s",
        "ca_key": fingerprint(ca_key(customer, kind)),
        "identity": identity(subject),
        "request": request,
        "policy": 0,
        "evaluator": 1,
        "tbs": base64.b64encode(encode_tbs(content)).decode(),
    }
    history.add("certificate.intent", intent | basis)


def _conclude(draw: st.DrawFn, history: History) -> None:
    if not (pending := history.open_intents):
        return
    intent = draw(st.sampled_from(pending))
    outcome = draw(st.sampled_from(("issued", "issued", "issued", "failed", "abandoned")))
    if outcome == "issued":
        history.add("certificate.issued", {"intent": intent, "signature": "c2lnbmF0dXJl"})
    else:
        history.add(f"certificate.{outcome}", {"intent": intent, "reason": outcome, "requested": True})


def _revoke(draw: st.DrawFn, history: History) -> None:
    if not (intents := history.intents):
        return
    serial = str(1 << 48 | draw(st.sampled_from(intents)))
    reason = draw(st.sampled_from(("lost", "left")))
    history.add("certificate.revoked", {"serial": serial, "reason": reason, "by": identity("carol")})


LOCKED: Final = (
    *(("identity", f"oidc:{name}") for name in SUBJECTS),
    ("service", "oidc:ci"),
    *(("group", name) for name in ("staff", "all", "oidc:team")),
    ("ca", "acme-users"),
)


def _lock(draw: st.DrawFn, history: History) -> None:
    kind, name = draw(st.sampled_from(LOCKED))
    history.add("lock.placed", {"kind": kind, "name": name, "reason": "x", "by": identity("carol")})


def _lift(draw: st.DrawFn, history: History) -> None:
    lifted = {entry.data["lock"] for entry in history.entries if entry.kind == "lock.lifted"}
    placed = [entry.seq for entry in history.entries if entry.kind == "lock.placed"]
    if in_force := [seq for seq in placed if seq not in lifted]:
        history.add("lock.lifted", {"lock": draw(st.sampled_from(in_force))} | ordered("lock.lift"))


# A person of some policies, and accounts.
AWAY: Final = ("alice", "oidc:alice", "oidc:ci", "mtls:dora")
_LEAVE_S: Final = (-70_000, -30, -1, 0, 1, 40, 61, 120, 9_000, 86_400, 700_000)


def _book(draw: st.DrawFn, history: History) -> None:
    person, now_s = draw(st.sampled_from(AWAY)), history.now_ms // 1000
    starts_s = now_s + draw(st.sampled_from(_LEAVE_S))
    ends_s = starts_s + draw(st.sampled_from((1, 59, 60, 3_600, 86_400, 900_000)))
    accounts = ["oidc:alice", "mtls:dora"] if person == "alice" else [person]
    booked = {"person": person, "identities": accounts, "starts_s": starts_s, "ends_s": ends_s}
    history.add("leave.booked", booked | {"by": identity("carol")})


def _cancel(draw: st.DrawFn, history: History) -> None:
    if booked := [entry for entry in history.entries if entry.kind == "leave.booked"]:
        leave = draw(st.sampled_from(booked))
        data: Any = leave.data
        ends_s = draw(st.integers(data["starts_s"] + 1, data["ends_s"]))
        sooner = draw(st.sampled_from(({}, {"ends_s": ends_s})))
        history.add("leave.cancelled", {"leave": leave.seq, **sooner, **ordered("leave.cancel")})


def _halt(draw: st.DrawFn, history: History) -> None:
    customer, kind = draw(st.sampled_from(CUSTOMERS)), draw(st.sampled_from(("user", "host")))
    key = fingerprint(ca_key(customer, kind))
    halted = {"name": f"{customer}-{kind}s", "ca_key": key, "intent": 0, "reason": "bad signature"}
    history.add("ca.halted", halted)


# Some more often than others.
_STEPS: Final = (
    *(_apply, _register, _register, _remove, *[_intend] * 6, *[_conclude] * 6, _revoke, _halt),
    *(*[_lock] * 2, _lift, *[_book] * 4, _cancel),
)
