"""The questions of the index, answered by going through the ledger from its first entry: slow and obvious.

Nothing here is shared with the index. Entries are read as JSON, policies as TOML, certificates with the
strict parser; a moment is a list of the entries that are not younger.
"""

from __future__ import annotations

import base64
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from appliance.ssh.certificate import decode_tbs
from appliance.ssh.content import CertificateContent
from appliance.ssh.keys import fingerprint
from audit.entry import Entry

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """An intent, what it says, and what became of it."""

    seq: int
    time_ms: int
    data: Json
    content: CertificateContent
    outcome: Json | None
    revocation: Json | None

    @property
    def subject(self) -> str:
        return f"{self.data['identity']['provider']}:{self.data['identity']['subject']}"

    @property
    def customer(self) -> str:
        return str(self.data["ca"]).split("-", maxsplit=1)[0]

    def state(self, now_s: int) -> str:
        if self.outcome is None:
            return "pending"
        if self.outcome["kind"] != "certificate.issued":
            return "failed"
        if self.revocation is not None:
            return "revoked"
        return "expired" if self.content.valid_before <= now_s else "active"


def parse(entries: Sequence[Entry]) -> list[Json]:
    """Return the entries as JSON."""
    return [json.loads(entry.raw) for entry in entries]


def until(entries: list[Json], at_ms: int) -> list[Json]:
    """Return the entries that are not younger than a moment."""
    return [entry for entry in entries if entry["time_ms"] <= at_ms]


def certificates(entries: list[Json]) -> list[Certificate]:
    """Return all certificates, the newest first."""
    found = []
    for entry in entries:
        if entry["kind"] != "certificate.intent":
            continue
        seq = entry["seq"]
        outcomes = [
            each
            for each in entries
            if each["kind"] in {"certificate.issued", "certificate.failed", "certificate.abandoned"}
            and each["data"]["intent"] == seq
        ]
        revocations = [
            each
            for each in entries
            if each["kind"] == "certificate.revoked" and int(each["data"]["serial"]) == 1 << 48 | seq
        ]
        found.append(
            Certificate(
                seq=seq,
                time_ms=entry["time_ms"],
                data=entry["data"],
                content=decode_tbs(base64.b64decode(entry["data"]["tbs"])),
                outcome=outcomes[0] if outcomes else None,
                revocation=revocations[0] if revocations else None,
            )
        )
    return found[::-1]


def search(entries: list[Json], wanted: Json, now_s: int) -> list[tuple[int, str]]:
    """Return seq and state of what a search finds."""
    return [
        (each.seq, each.state(now_s)) for each in certificates(entries) if _is_wanted(each, wanted, now_s)
    ]


def _is_wanted(each: Certificate, wanted: Json, now_s: int) -> bool:
    facts = {
        "subject": each.subject,
        "key_id": each.content.key_id,
        "host": each.data["request"].get("host"),
        "customer": each.customer,
        "fingerprint": fingerprint(each.content.subject_key),
        "type": each.content.type.name.lower(),
        "state": each.state(now_s),
    }
    return (
        all(facts[name] == value for name, value in wanted.items() if name in facts)
        and ("principal" not in wanted or wanted["principal"] in each.content.principals)
        and ("since_ms" not in wanted or each.time_ms >= wanted["since_ms"])
        and ("until_ms" not in wanted or each.time_ms < wanted["until_ms"])
    )


def policy(entries: list[Json]) -> tuple[int | None, Json]:
    """Return the policy in force and the entry that applied it."""
    applied = [entry for entry in entries if entry["kind"] == "policy.applied"]
    if not applied:
        return None, {}
    texts = {entry["seq"]: entry["data"]["text"] for entry in entries if entry["kind"] == "policy.file"}
    (file,) = applied[-1]["data"]["files"]
    return applied[-1]["seq"], tomllib.loads("".join(texts[seq] for seq in file["seqs"]))


def hosts(entries: list[Json]) -> dict[str, Json]:
    """Return the registered hosts."""
    found: dict[str, Json] = {}
    for entry in entries:
        if entry["kind"] == "host.registered":
            found[entry["data"]["name"]] = entry["data"]
        elif entry["kind"] == "host.removed":
            found.pop(entry["data"]["name"], None)
    return found


def members(group: Json, registered: dict[str, Json]) -> list[str]:
    """Return the hosts of a host group."""
    found = []
    for name, host in registered.items():
        labels = {label["name"]: label["value"] for label in host["labels"]}
        if host["customer"] != group["customer"]:
            continue
        if name in group.get("hosts", []) or (
            "match" in group and all(labels.get(key) == value for key, value in group["match"].items())
        ):
            found.append(name)
    return sorted(found)


def halted(entries: list[Json], ca: str) -> bool:
    """Say whether a CA is halted; each has one key here."""
    return any(entry["kind"] == "ca.halted" and entry["data"]["name"] == ca for entry in entries)


def access_by_certificates(entries: list[Json], asked: Json, at_ms: int) -> list[Json]:
    """Return who can log in at a moment, as rows of the answer."""
    then = until(entries, at_ms)
    _, document = policy(then)
    rows = []
    for each in certificates(then):
        valid = each.content.valid_after * 1000 <= at_ms < each.content.valid_before * 1000
        if each.data["request"].get("host") or not valid or each.state(at_ms // 1000) != "active":
            continue
        for principal in each.content.principals:
            login, _, named = principal.partition("@")
            groups = [
                group
                for group in document.get("host_group", [])
                if group["customer"] == each.customer
                and (
                    (group["name"] == named and "principals" not in group)
                    if named
                    else group.get("principals") == "login"
                )
            ]
            row = _place(then, groups, asked) | {
                "subject": each.subject,
                "login": login,
                "principal": principal,
                "customer": each.customer,
                "intent": each.seq,
                "outcome_entry": (each.outcome or {})["seq"],
                "ca_phase": "halted" if halted(then, each.data["ca"]) else "signing",
            }
            if _covers(asked, row, then, groups):
                rows.append(row)
    return rows


def access_by_policy(entries: list[Json], asked: Json, at_ms: int) -> list[Json]:
    """Return who could obtain what at a moment, as rows of the answer."""
    then = until(entries, at_ms)
    seq, document = policy(then)
    groups = {group["name"]: group for group in document.get("host_group", [])}
    rows = []
    free = [each for entry in then for each in entry["data"].get("holidays", ())][-1:]
    for grant in document.get("grant", []):
        if "until" in grant:
            continue  # the day before a history begins
        for subject, kind in _holders(grant["who"], document):
            away = [] if kind == "group" else leaves(then, document, subject)
            leave = _away_by(away, at_ms // 1000)
            is_open, opens = _opens(grant, free, away, at_ms // 1000)
            for name in grant["on"]:
                for login in grant["as"]:
                    group = groups[name]
                    row = _place(then, [group], asked) | {
                        "subject": subject,
                        "kind": kind,
                        "login": login,
                        "principal": login if group.get("principals") == "login" else f"{login}@{name}",
                        "customer": group["customer"],
                        "grants": [{"file": "p.toml", "name": grant["name"]}],
                        "policy": seq,
                        "open": is_open,
                        **({} if opens is None else {"opens": opens}),
                        **({} if leave is None else {"leave": leave}),
                        "ca_phase": "halted" if halted(then, f"{group['customer']}-users") else "signing",
                    }
                    if (lock := locked(then, document, row)) is not None:
                        row["locked"] = lock
                    if _covers(asked, row, then, [group]):
                        rows.append(row)
    return rows


def locked(then: list[Json], document: Json, row: Json) -> int | None:
    """Return the first lock in force on the holder or the CA of a row."""
    lifted = {entry["data"]["lock"] for entry in then if entry["kind"] == "lock.lifted"}
    names = {("ca", f"{row['customer']}-users")}
    if row["kind"] == "group":
        names.add(("group", row["subject"]))
    else:
        names |= {("identity", row["subject"]), ("service", row["subject"])}
        groups = document.get("group", [])
        names |= {("group", each["name"]) for each in groups if row["subject"] in each["members"]}
    for entry in then:
        on = (entry["data"].get("kind"), entry["data"].get("name"))
        if entry["kind"] == "lock.placed" and entry["seq"] not in lifted and on in names:
            return int(entry["seq"])
    return None


def leaves(then: list[Json], document: Json, subject: str) -> list[Json]:
    """Return the leaves of whoever has an account, in force after these entries."""
    persons = document.get("person", [])
    person = next((each["name"] for each in persons if subject in each["identities"]), subject)
    booked: dict[int, Json] = {}
    for entry in then:
        data = entry["data"]
        if entry["kind"] == "leave.booked":
            same = ("person", "starts_s", "ends_s")
            booked = {s: each for s, each in booked.items() if any(each[n] != data[n] for n in same)}
            booked[entry["seq"]] = data | {"seq": entry["seq"]}
        elif entry["kind"] == "leave.cancelled" and data["leave"] in booked:
            if "ends_s" in data:
                booked[data["leave"]]["ends_s"] = data["ends_s"]
            else:
                del booked[data["leave"]]

    def is_theirs(leave: Json) -> bool:
        named = leave["person"]
        owner = next((each["name"] for each in persons if named in each["identities"]), named)
        if ":" in named or any(named == each["name"] for each in persons):
            return bool(owner == person)
        # A person that the policy has no more: whoever has his accounts.
        owners = [
            next((each["name"] for each in persons if account in each["identities"]), account)
            for account in leave["identities"]
        ]
        return person in owners

    return [leave for leave in booked.values() if is_theirs(leave)]


def accounts(then: list[Json], subject: str) -> list[str] | None:
    """Return whom a question about a subject is about: itself, or a person's accounts; None if he is none."""
    if ":" in subject:
        return [subject]
    _, document = policy(then)
    named = {each["name"]: each["identities"] for each in document.get("person", [])}
    return named.get(subject)


def _away_by(away: list[Json], at_s: int) -> int | None:
    now = [each for each in away if each["starts_s"] <= at_s < each["ends_s"]]
    return max(now, key=lambda each: (each["ends_s"], each["seq"]))["seq"] if now else None


def _opens(grant: Json, calendars: list[Json], away: list[Json], at_s: int) -> tuple[bool, str | None]:
    """Say whether a grant is open, and if not, when next; histories begin on Monday, 2025-11-24, at 16:00.

    It can open when a leave ends, on the first day, or when a window of the schedule begins, and only so.
    """
    monday_s = 1_764_000_000 - 8 * 3_600  # at 08:00
    mondays = [monday_s + week * 7 * 86_400 for week in range(-2, 20)]
    moments = [at_s, *(each["ends_s"] for each in away), monday_s + 16 * 3_600, *mondays]
    gives = [
        each for each in sorted(moments) if each >= at_s and _gives(grant, calendars, away, each, mondays)
    ]
    if not gives or gives[0] == at_s:
        return bool(gives), None
    return False, datetime.fromtimestamp(gives[0], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _gives(grant: Json, calendars: list[Json], away: list[Json], at_s: int, mondays: list[int]) -> bool:
    """Say whether a grant gives a certificate of a minute at a moment."""
    if any(each["starts_s"] < at_s + 60 and at_s < each["ends_s"] for each in away):
        return False
    if "from" in grant:
        return bool(at_s >= mondays[2] + 16 * 3_600)
    if "when" not in grant:
        return True
    # The schedule is mon 08:00-16:01.
    begins = next((each for each in mondays if each <= at_s and at_s + 60 <= each + 8 * 3_600 + 60), None)
    if begins is None:
        return False
    return not any(day == f"{datetime.fromtimestamp(begins, UTC):%Y-%m-%d}" for day in calendars[0]["dates"])


def _holders(who: Json, document: Json) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    listed = [(name, "user") for name in who.get("users", [])]
    listed += [(name, "service") for name in who.get("services", [])]
    listed += [(name, "group") for name in who.get("groups", []) if ":" in name]
    for group in document.get("group", []):
        order = who.get("groups", [])
        group["place"] = order.index(group["name"]) if group["name"] in order else -1
    for group in sorted(document.get("group", []), key=lambda each: int(each["place"])):
        listed += [(name, "member") for name in group["members"] if group["place"] >= 0]
    for name, kind in listed:
        if name not in seen:
            seen.add(name)
            yield name, kind


def _place(then: list[Json], groups: list[Json], asked: Json) -> Json:
    names = sorted({name for group in groups for name in members(group, hosts(then))})
    if "host" in asked:
        names = [asked["host"]]
    return {"host_groups": [group["name"] for group in groups], "hosts": names, "host_count": len(names)}


def _covers(asked: Json, row: Json, then: list[Json], groups: list[Json]) -> bool:
    if any(asked[name] != row[name] for name in ("login", "customer") if name in asked):
        return False
    if "subject" in asked and row["subject"] not in (accounts(then, asked["subject"]) or ()):
        return False
    if "host_group" in asked and asked["host_group"] not in row["host_groups"]:
        return False
    if "host" not in asked:
        return True
    # If both are named, it is the host as a member of that group.
    named = [group for group in groups if asked.get("host_group", group["name"]) == group["name"]]
    return any(asked["host"] in members(group, hosts(then)) for group in named)
