"""Large ledgers for measurements: many certificates, hosts and grants, written as the authority writes them.

What stands in them is of realistic size and shape, and passes the fold that the authority starts with. CA
signatures and those under orders are drawn at random: nobody looks at them until the ledger is verified, and
it does not verify.
"""

from __future__ import annotations

import base64
import hashlib
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.authority.fold.state import State
from appliance.authority.issuing.plan import format_key_id
from appliance.ssh.certificate import CertificateContent, CertificateType, encode_tbs
from appliance.ssh.keys import PublicKey, format_public_key_line
from appliance.ssh.wire import encode_string
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.ledger import Batch, Ledger
from audit.note import format_vkey, vkey_for
from audit.stores.sqlite import SqliteStore

ORIGIN: Final = "bench.example.org/log/1"
DAY_S: Final = 86_400
BATCH: Final = 1_000  # certificates in a commit
PART: Final = 40_000  # bytes of a policy's text in one entry
REGIONS: Final = tuple(f"region-{number}" for number in range(10))
ROLES: Final = ("web", "db", "app", "cache", "queue", "search", "proxy", "build", "mail", "log")
LOGINS: Final = ("root", "deploy", "postgres", "app", "backup", "logs", "monitor", "ops")
# What a certificate lives, and how many of a hundred do.
LIFETIMES_S: Final = (8 * 3_600,) * 45 + (3_600,) * 35 + (900,) * 18 + (7 * DAY_S,) * 2
SOFTWARE: Final = "chancery bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything there is to be."""

    certificates: int = 1_000_000
    hosts: int = 10_000
    grants: int = 1_000
    users: int = 5_000
    days: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A grant that certificates rest on."""

    name: str
    users: tuple[str, ...]
    host_groups: tuple[str, ...]
    logins: tuple[str, ...]


@dataclass(slots=True)
class Population:
    """Who is there, and what he may do; the same for the same size."""

    size: Size
    random: random.Random = field(default_factory=lambda: random.Random(1))
    hosts: list[str] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)

    def __post_init__(self) -> None:
        draw = self.random
        self.hosts = [f"host-{number}.acme.example" for number in range(self.size.hosts)]
        places = [f"bench-{role}-{region}" for region in REGIONS for role in ROLES]
        for number in range(self.size.grants):
            users = tuple(f"oidc:user-{draw.randrange(self.size.users)}" for _ in range(5))
            wide = number % 20 == 0
            groups = (f"bench-{draw.choice(ROLES)}",) if wide else tuple(draw.sample(places, 2))
            logins = tuple(draw.sample(LOGINS, draw.randint(1, 3)))
            self.grants.append(Grant(name=f"grant-{number}", users=users, host_groups=groups, logins=logins))

    def labels(self, host: int) -> dict[str, str]:
        """Return the labels of a host: each pair of region and role has as many hosts as any other."""
        return {"region": REGIONS[host % 10], "role": ROLES[host // 10 % 10]}

    def policy(self, customer: str, version: int) -> str:
        """Return the policy file; versions differ in who is in the document's groups."""
        lines = ["version = 1"]
        for role in ROLES:
            lines += _host_group(f"bench-{role}", customer, {"role": role})
            for region in REGIONS:
                lines += _host_group(f"bench-{role}-{region}", customer, {"region": region, "role": role})
        for number in range(20):
            first = 50 * number + version
            members = [f"oidc:user-{(first + each) % self.size.users}" for each in range(50)]
            lines += ["[[group]]", f'name = "bench-group-{number}"', f"members = {_strings(members)}"]
        for number, grant in enumerate(self.grants):
            groups = [f"bench-group-{number % 20}"] if number % 3 == 0 else [f"oidc:team-{number % 50}"]
            users = tuple(dict.fromkeys(grant.users))
            lines += ["[[grant]]", f'name = "{grant.name}"']
            lines += [f"who = {{ users = {_strings(users)}, groups = {_strings(groups)} }}"]
            lines += [f"on = {_strings(grant.host_groups)}", f"as = {_strings(grant.logins)}", 'ttl = "8h"']
        return "\n".join(lines) + "\n"


def _host_group(name: str, customer: str, match: Mapping[str, str]) -> list[str]:
    pairs = ", ".join(f'{label} = "{value}"' for label, value in match.items())
    return ["[[host_group]]", f'name = "{name}"', f'customer = "{customer}"', f"match = {{ {pairs} }}"]


def _strings(values: Sequence[str]) -> str:
    return f"[{', '.join(f'{chr(34)}{value}{chr(34)}' for value in values)}]"


class Author:
    """Writes entries as the authority does. Those about certificates it does not fold: none rests on them."""

    def __init__(self, ledger: Ledger, state: State, population: Population, end_s: int) -> None:
        self.ledger = ledger
        self.state = state
        self.population = population
        self.end_s = end_s
        self._random = population.random

    def write(self) -> None:
        """Write hosts and policies, and certificates between them, up to the present."""
        size = self.population.size
        start_s = self.end_s - size.days * DAY_S
        self._change(start_s, self._policy(1))
        for first in range(0, size.hosts, BATCH):
            self._change(start_s, self._hosts(range(first, min(size.hosts, first + BATCH))))
        batches = range(0, size.certificates, BATCH)
        for number, first in enumerate(batches):
            now_s = start_s + 1 + (self.end_s - start_s - 1) * first // size.certificates
            if number and number % max(1, len(batches) // 5) == 0:
                self._change(now_s, self._policy(2 + number))
            if number % 5 == 4:
                self._change(now_s, self._hosts([self._random.randrange(size.hosts)]))
            self._certify(now_s, min(BATCH, size.certificates - first))
            if number % 10 == 9:
                say(f"{first + BATCH} certificates, {self.ledger.size} entries")

    def _change(self, now_s: int, events: Iterator[tuple[str, dict[str, Any]]]) -> None:
        with self.ledger.batch(now_s * 1000) as batch:
            for kind, data in events:
                self.state.apply(batch.append(kind, data))

    @staticmethod
    def _append(batch: Batch, events: Iterator[tuple[str, dict[str, Any]]]) -> None:
        batch.extend([(kind, 1, data) for kind, data in events])

    def _policy(self, version: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the entries of the policy in force with the population's file beside its own."""
        applied = self.state.applied
        texts = {} if applied is None else {file.name: file.text for file in applied.policy.files}
        texts["bench.toml"] = self.population.policy(self._customer, version)
        files, first = [], self.ledger.size
        for name, text in texts.items():
            parts = [text[at : at + PART] for at in range(0, len(text), PART)]
            for part, piece in enumerate(parts):
                yield "policy.file", {"name": name, "part": part, "parts": len(parts), "text": piece}
            digest = hashlib.sha256(text.encode()).hexdigest()
            seqs = list(range(first, first + len(parts)))
            files.append({"name": name, "sha256": digest, "seqs": seqs})
            first += len(parts)
        yield "policy.applied", {"files": files, "evaluator": 1, **self._order("policy.apply")}

    def _hosts(self, numbers: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
        for number in numbers:
            name = self.population.hosts[number]
            labels = [
                {"name": key, "value": value} for key, value in sorted(self.population.labels(number).items())
            ]
            host = {"name": name, "customer": self._customer, "names": [name], "labels": labels}
            yield "host.registered", host | self._order("host.add")

    def _certify(self, now_s: int, count: int) -> None:
        """Write the intents of many certificates, then what became of them."""
        with self.ledger.batch(now_s * 1000) as batch:
            first = batch.seq
            self._append(batch, (self._intent(seq, now_s) for seq in range(first, first + count)))
        with self.ledger.batch(now_s * 1000 + 80) as batch:
            self._append(batch, (self._outcome(seq) for seq in range(first, first + count)))
            revoked = self._random.sample(range(first, first + count), count // 100)
            self._append(batch, (self._revocation(seq) for seq in revoked))

    def _intent(self, seq: int, now_s: int) -> tuple[str, dict[str, Any]]:
        draw = self._random
        of_host = draw.randrange(100) == 0
        key = PublicKey(
            type="ssh-ed25519", blob=encode_string(b"ssh-ed25519") + encode_string(draw.randbytes(32))
        )
        request: dict[str, Any] = {"public_key": format_public_key_line(key)}
        more: dict[str, Any]
        if of_host:
            host = draw.choice(self.population.hosts)
            subject, principals, lifetime_s = "enroller", (host,), 30 * DAY_S
            request["host"] = host
            more = {"host": self.state.hosts[host].seq}
        else:
            grant = draw.choice(self.population.grants)
            # A tenth of all certificates is one service's, and that is what services are like.
            subject = "pipeline" if draw.randrange(10) == 0 else draw.choice(grant.users).partition(":")[2]
            some = grant.host_groups[: draw.randint(1, 2)]
            principals = tuple(sorted(f"{login}@{group}" for group in some for login in grant.logins))
            lifetime_s = draw.choice(LIFETIMES_S)
            request |= {"grant": grant.name, "host_groups": sorted(some), "reason": "TICKET-4711"}
            more = {"grants": [{"file": "bench.toml", "name": grant.name}]}
        ca = self._ca("host" if of_host else "user")
        ca_key = self.state.cas[ca].signing_key
        if ca_key is None:
            raise SystemExit(f"the CA {ca} has no key that signs")
        named = f"host:{principals[0]}" if of_host else f"oidc:{subject}"
        content = CertificateContent(
            nonce=draw.randbytes(32),
            subject_key=key,
            serial=self.state.serial(seq),
            type=CertificateType.HOST if of_host else CertificateType.USER,
            key_id=format_key_id(named, self.state.log_number, seq),
            principals=principals,
            valid_after=now_s - 60,
            valid_before=now_s + lifetime_s,
            extensions=() if of_host else (("permit-pty", ""),),
            ca_key=ca_key.public_key,
        )
        identity = {
            "provider": "oidc",
            "subject": subject,
            "kind": "service" if subject in {"pipeline", "enroller"} else "user",
            "groups": [],
            "claims": [],
            "mfa": True,
            "authenticated_ms": now_s * 1000 - 5_000,
            "source_address": "10.8.0.1",
        }
        applied = self.state.applied
        intent = {
            "ca": ca,
            "ca_key": ca_key.fingerprint,
            "identity": identity,
            "request": request,
            "policy": 0 if applied is None else applied.seq,
            "evaluator": 1,
            "tbs": base64.b64encode(encode_tbs(content)).decode(),
        }
        return "certificate.intent", intent | more

    def _outcome(self, intent: int) -> tuple[str, dict[str, Any]]:
        if self._random.randrange(100) == 0:
            reason = {"intent": intent, "reason": "the token did not sign", "requested": True}
            return "certificate.failed", reason
        # The size of a P-256 signature.
        signature = base64.b64encode(self._random.randbytes(100)).decode()
        return "certificate.issued", {"intent": intent, "signature": signature}

    def _revocation(self, intent: int) -> tuple[str, dict[str, Any]]:
        by = {
            "provider": "mtls",
            "subject": "carol",
            "kind": "user",
            "groups": [],
            "claims": [],
            "mfa": False,
            "authenticated_ms": 0,
        }
        serial = str(self.state.serial(intent))
        return "certificate.revoked", {"serial": serial, "reason": "laptop lost", "by": by}

    def _order(self, verb: str) -> dict[str, Any]:
        signature = base64.b64encode(self._random.randbytes(150)).decode()
        order = {"operator": "bench", "policy": 0, "expires_s": 0, "signature": signature}
        return {"command": {"verb": verb, "nonce": self._random.randbytes(8).hex()}, "orders": [order]}

    @property
    def _customer(self) -> str:
        applied = self.state.applied
        return "acme" if applied is None else next(iter(applied.policy.customers))

    def _ca(self, kind: str) -> str:
        applied = self.state.applied
        if applied is None:
            raise SystemExit("there is no policy yet")
        customer = applied.policy.customers[self._customer]
        return customer.user_ca if kind == "user" else customer.host_ca


def begin_ledger(path: Path, start_s: int) -> tuple[Ledger, State]:
    """Begin a ledger of its own, with keys that nobody keeps, and a first policy."""
    ledger, state = Ledger.create(SqliteStore.create(path)), State()
    with ledger.batch(start_s * 1000) as batch:
        for kind, data in _first_entries():
            state.apply(batch.append(kind, data))
    return ledger, state


def extend_ledger(path: Path) -> tuple[Ledger, State]:
    """Open the ledger of a stopped service, to go on with its log number, its CAs and its policy."""
    state = State()
    return Ledger.open(SqliteStore.open(path), on_entry=state.apply), state


def write_ledger(path: Path, size: Size, now_s: int) -> None:
    """Write a large ledger, or make the one that is there large.

    A ledger that is there has its own head: what is added is recorded then or later, also where it says that
    it was valid long before.
    """
    exists = path.exists()
    ledger, state = extend_ledger(path) if exists else begin_ledger(path, now_s - size.days * DAY_S)
    began = time.monotonic()
    Author(ledger, state, Population(size), now_s).write()
    if not exists:
        note = sign_checkpoint(Checkpoint(ORIGIN, ledger.size, ledger.root), _LEDGER_KEY)
        with ledger.batch(now_s * 1000) as batch:
            batch.add_checkpoint(note, ledger.size)
    say(f"{ledger.size} entries in {time.monotonic() - began:.0f} s")
    ledger.close()


_LEDGER_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def _first_entries() -> Iterator[tuple[str, dict[str, Any]]]:
    keys = [_public_key(number) for number in range(1, 6)]
    lines = [format_public_key_line(key) for key in keys]
    yield (
        "log.opened",
        {
            "format": 1,
            "origin": ORIGIN,
            "log_number": 1,
            "nonce": base64.b64encode(bytes(32)).decode(),
            "ledger_key": format_vkey(vkey_for(ORIGIN, _LEDGER_KEY.public_key())),
            "bundle_key": lines[0],
            "probe_key": lines[1],
            "max_ttl_s": 31 * DAY_S,
            "software": SOFTWARE,
        },
    )
    text = "\n".join(
        (
            "version = 1",
            '[[customer]]\nname = "acme"\nuser_ca = "acme-users"\nhost_ca = "acme-hosts"',
            f'[[operator]]\nname = "carol"\nkeys = ["{lines[4]}"]\nroles = ["admin"]\n',
        )
    )
    order = {
        "operator": "carol",
        "policy": 0,
        "expires_s": 0,
        "signature": base64.b64encode(bytes(99)).decode(),
    }
    ordered = {"command": {"verb": "policy.apply"}, "orders": [order]}
    yield "policy.file", {"name": "policy.toml", "part": 0, "parts": 1, "text": text}
    digest = hashlib.sha256(text.encode()).hexdigest()
    files = [{"name": "policy.toml", "sha256": digest, "seqs": [1]}]
    yield "policy.applied", {"files": files, "evaluator": 1, **ordered}
    for name, kind, line in (("acme-users", "user", lines[2]), ("acme-hosts", "host", lines[3])):
        for phase in ("created", "trusted", "signing"):
            ca = {"name": name, "type": kind, "customer": "acme", "public_key": line, "transcript": "bench"}
            yield f"ca.{phase}", ca | ordered


def _public_key(number: int) -> PublicKey:
    raw = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big")).public_key().public_bytes_raw()
    return PublicKey(type="ssh-ed25519", blob=encode_string(b"ssh-ed25519") + encode_string(raw))


def say(what: str) -> None:
    """Tell what is being done, to whoever waits."""
    print(f"  {what}", file=sys.stderr, flush=True)
