"""The authority's writer and issuance cycle on a real ledger file, with CA keys in software: no processes."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.authority.cutting.cutoff import MAX_CUT
from appliance.authority.cutting.cutting import CutDone, CutOff, FindCause
from appliance.authority.cutting.locking import find_lock
from appliance.authority.cutting.revocation import find_revocation
from appliance.authority.fold.state import State
from appliance.authority.issuing.denials import Denials
from appliance.authority.issuing.issuance import Cycle, IssueCertificates
from appliance.authority.issuing.releases import Release
from appliance.authority.issuing.replay import Replayer
from appliance.authority.orders import NAMESPACE, order_message
from appliance.authority.writer import Writer
from appliance.cutting import LockBody, RevocationBody
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.keys import fingerprint, format_public_key_line
from appliance.ssh.signature import SigningKey
from appliance.ssh.sshsig import build_sshsig
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.ledger import Ledger
from audit.note import format_vkey, vkey_for
from audit.stores.sqlite import SqliteReader, SqliteStore
from support.acme import ACME
from support.software_signing import SoftwareSigning
from support.ssh_examples import private_key, public_key

ORIGIN: Final = "ca.example.org/log/1"
NOW_MS: Final = 1_764_000_000_000
LEDGER_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VKEY: Final = format_vkey(vkey_for(ORIGIN, LEDGER_KEY.public_key()))
CA_NAMES: Final = {"users": "nistp256", "hosts": "ed25519"}

POLICY = f"""{ACME}[[grant]]
name = "deploy"
who = {{ users = ["mtls:alice"] }}
on = ["web"]
as = ["deploy"]
ttl = "1h"
permit = ["pty"]
[[grant]]
name = "logs"
who = {{ users = ["mtls:alice"] }}
on = ["web"]
as = ["logs"]
force_command = "journalctl -f"
[[operator]]
name = "carol"
keys = ["{format_public_key_line(public_key("ed25519", 7))}"]
identities = ["mtls:carol"]
roles = ["admin", "operator", "enroller", "auditor"]
"""


def identity(subject: str = "alice", **changes: Any) -> Identity:
    """Return a user that showed a client certificate."""
    fields: dict[str, Any] = {
        "provider": "mtls",
        "subject": subject,
        "kind": "user",
        "authenticated_ms": NOW_MS,
        "source_address": "127.0.0.1",
    }
    return Identity(**(fields | changes))


def order(command: Mapping[str, object], *, policy: int = 0, operator: str = "carol") -> dict[str, object]:
    """Return a command with carol's order, as an entry's members."""
    expires_s = NOW_MS // 1000 + 3_600
    message = order_message(ORIGIN, command, policy, expires_s)
    signature = build_sshsig(private_key("ed25519", 7), NAMESPACE, message)
    signed = {
        "operator": operator,
        "policy": policy,
        "expires_s": expires_s,
        "signature": base64.b64encode(signature).decode(),
    }
    return {"command": command, "orders": [signed]}


def seed_entries() -> Iterator[tuple[str, dict[str, object]]]:
    """Yield what stands in a log before the first certificate: keys, a policy, two CAs and a host."""
    yield (
        "log.opened",
        {
            "format": 1,
            "origin": ORIGIN,
            "log_number": 1,
            "nonce": base64.b64encode(bytes(32)).decode(),
            "ledger_key": VKEY,
            "bundle_key": format_public_key_line(public_key("ed25519", 20)),
            "probe_key": format_public_key_line(public_key("ed25519", 21)),
            "max_ttl_s": 31 * 86_400,
            "software": "tests",
        },
    )
    yield "policy.file", {"name": "policy.toml", "part": 0, "parts": 1, "text": POLICY}
    digest = hashlib.sha256(POLICY.encode()).hexdigest()
    command = {"verb": "policy.apply", "files": [{"name": "policy.toml", "sha256": digest}]}
    files = [{"name": "policy.toml", "sha256": digest, "seqs": [1]}]
    yield "policy.applied", {"files": files, "evaluator": 1, **order(command)}
    for name, key in CA_NAMES.items():
        kind = name.removesuffix("s")
        algorithm = "ecdsa-p256" if key == "nistp256" else key
        ordered = order(
            {
                "verb": "ca.create",
                "name": name,
                "type": kind,
                "algorithm": algorithm,
                "customer": "acme",
                "phase": "signing",
            }
        )
        for phase in ("created", "trusted", "signing"):
            data = {
                "name": name,
                "type": kind,
                "customer": "acme",
                "public_key": format_public_key_line(public_key(key, 11)),
                "transcript": "made in software for a test",
            }
            yield f"ca.{phase}", data | ordered
    labels = [{"name": "role", "value": "web"}]
    host = {
        "name": "web-1.acme.example",
        "customer": "acme",
        "names": ["web-1.acme.example"],
        "labels": labels,
    }
    yield "host.registered", host | order({"verb": "host.add", **host}, policy=2)


@dataclass(slots=True)
class TestAuthority:
    """A writer and a cycle at work on a ledger file."""

    __test__ = False

    path: Path
    state: State
    writer: Writer
    signing: SoftwareSigning
    cycle: Cycle
    keys: dict[str, SigningKey]
    failures: list[BaseException]

    def ask(self, who: Identity, request: UserRequest | HostRequest) -> Release | Refusal:
        """Ask for certificates and wait for the reply."""
        return self.wait(self.ask_later(who, request))

    def ask_later(self, who: Identity, request: UserRequest | HostRequest) -> Reply:
        """Ask for certificates."""
        reply = Reply()
        self.writer.submit(IssueCertificates(self.cycle, who, request, reply))
        return reply

    def lock(self, **named: str) -> CutDone | Refusal:
        """Have carol place a lock, on ``person="ada"`` say."""
        body = LockBody.model_validate({"reason": "test", **named})
        return self.cut(partial(find_lock, identity("carol"), body))

    def revoke(self, **named: str) -> CutDone | Refusal:
        """Have carol revoke, by ``serial="…"`` say."""
        body = RevocationBody.model_validate({"reason": "test", **named})
        return self.cut(partial(find_revocation, identity("carol"), body))

    def cut(self, find: FindCause, *, most: int = MAX_CUT) -> CutDone | Refusal:
        """Cut off, so many certificates in each command, and wait until that is done."""
        answers: SimpleQueue[CutDone | Refusal] = SimpleQueue()
        self.writer.submit(CutOff(find, self.writer.submit_owed, answers.put, most=most))
        return answers.get(timeout=10)

    @staticmethod
    def wait(reply: Reply) -> Release | Refusal:
        """Wait for a reply."""
        assert reply.arrived.wait(10), "no reply within ten seconds"
        assert reply.value is not None
        return reply.value


class Reply:
    """Where a reply arrives, once."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.value: Release | Refusal | None = None

    def __call__(self, value: Release | Refusal) -> None:
        assert self.value is None, "replied twice"
        self.value = value
        self.arrived.set()


@contextmanager
def running_authority(path: Path, *, now_ms: int = NOW_MS) -> Iterator[TestAuthority]:
    """Run a writer and signing threads on a new ledger file; sign a checkpoint over it all at the end."""
    ledger, state = Ledger.create(SqliteStore.create(path)), State()
    with ledger.batch(now_ms) as batch:
        for kind, data in seed_entries():
            state.apply(batch.append(kind, data))
    keys = {fingerprint(public_key(key, 11)): private_key(key, 11) for key in CA_NAMES.values()}
    failures: list[BaseException] = []
    writer = Writer(ledger, state, now_ms=lambda: now_ms, on_failure=failures.append)
    signing = SoftwareSigning(keys)
    replayer = Replayer(SqliteReader(path))
    replayer.start()
    cycle = Cycle(
        sign=signing.submit,
        submit_owed=writer.submit_owed,
        replay=replayer.submit,
        denials=Denials(),
        draw=lambda size: bytes(range(size)),
    )
    writer.start()
    signing.start()
    try:
        yield TestAuthority(
            path=path, state=state, writer=writer, signing=signing, cycle=cycle, keys=keys, failures=failures
        )
    finally:
        signing.stop()
        writer.stop()
        with ledger.batch(now_ms) as batch:
            note = sign_checkpoint(Checkpoint(ORIGIN, ledger.size, ledger.root), LEDGER_KEY)
            batch.add_checkpoint(note, ledger.size)
        ledger.close()
