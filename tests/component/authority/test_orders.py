"""Orders: what an operator signed is carried out once, under the policy it was signed for, by whoever may."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.ordering.administration import (
    add_host,
    apply_policy,
    check_files,
    remove_host,
    split_text,
)
from appliance.authority.ordering.commands import AddHost, ApplyPolicy, CommandBody, LabelBody, RemoveHost
from appliance.authority.orders import NAMESPACE, OrderBody, order_message
from appliance.errors import Refusal
from appliance.policy.document import PolicyFile
from appliance.ssh.sshsig import build_sshsig
from audit.entry import Entry
from audit.verifier import SqliteSource, Verdict, verify_log
from support.authority import NOW_MS, ORIGIN, POLICY, VKEY, TestAuthority, order, running_authority
from support.ssh_examples import private_key

HOST = AddHost(
    name="web-2.acme.example",
    customer="acme",
    names=["web-2.acme.example"],
    labels=[LabelBody(name="role", value="web")],
)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[TestAuthority]:
    with running_authority(tmp_path / "ledger.db") as running:
        yield running
    assert running.failures == []
    with SqliteSource(running.path) as source:
        assert verify_log(source, pinned_key=VKEY).verdict is Verdict.VERIFIED


class Answer:
    """Where the answer to a command arrives."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.value: Sequence[Entry] | Refusal | None = None

    def __call__(self, value: Sequence[Entry] | Refusal) -> None:
        self.value = value
        self.arrived.set()


def orders(authority: TestAuthority, command: CommandBody, **changes: Any) -> list[OrderBody]:
    assert authority.state.applied is not None
    signed: Any = order(command.to_command(), policy=authority.state.applied.seq)
    return [OrderBody(**(each | changes)) for each in signed["orders"]]


def add(authority: TestAuthority, signed: list[OrderBody], host: AddHost = HOST) -> Sequence[Entry] | Refusal:
    answer = Answer()
    authority.writer.submit(add_host(host, signed, answer))
    assert answer.arrived.wait(10)
    assert answer.value is not None
    return answer.value


def test_signed_order_is_carried_out_and_recorded_with_its_signature(authority: TestAuthority) -> None:
    signed = orders(authority, HOST)
    recorded = add(authority, signed)
    assert not isinstance(recorded, Refusal)
    assert recorded[0].data["orders"] == [signed[0].to_data()]
    assert "web-2.acme.example" in authority.state.hosts


def test_order_is_carried_out_once(authority: TestAuthority) -> None:
    signed = orders(authority, HOST)
    add(authority, signed)
    removal = RemoveHost(name=HOST.name)
    answer = Answer()
    authority.writer.submit(remove_host(removal, orders(authority, removal), answer))
    assert answer.arrived.wait(10)
    again = add(authority, signed)
    assert isinstance(again, Refusal)
    assert "carried out before" in again.detail
    assert HOST.name not in authority.state.hosts


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"operator": "mallory"}, "an order by 'mallory': the policy names no such operator"),
        ({"policy": 1}, "sign it again"),
        ({"expires_s": NOW_MS // 1000}, "expired"),
        ({"expires_s": NOW_MS // 1000 + 7 * 86_400}, "expired, or lasts"),
        ({"expires_s": NOW_MS // 1000 + 60}, "signature"),
        ({"signature": "AAAA"}, "signature"),
        ({"signature": "not base64"}, "signature"),
    ],
)
def test_order_that_does_not_hold_is_refused(
    authority: TestAuthority, changes: dict[str, Any], expected: str
) -> None:
    refusal = add(authority, orders(authority, HOST, **changes))
    assert isinstance(refusal, Refusal)
    assert expected in refusal.detail
    assert HOST.name not in authority.state.hosts


def test_order_for_another_command_or_by_another_key_is_refused(authority: TestAuthority) -> None:
    other = HOST.model_copy(update={"customer": "acme", "names": ["db-1.acme.example"]})
    refusal = add(authority, orders(authority, other))
    assert isinstance(refusal, Refusal)
    (good,) = orders(authority, HOST)
    message = order_message(ORIGIN, HOST.to_command(), good.policy, good.expires_s)
    forged = build_sshsig(private_key("ed25519", 8), NAMESPACE, message)
    refusal = add(authority, orders(authority, HOST, signature=base64.b64encode(forged).decode()))
    assert isinstance(refusal, Refusal)


def test_no_order_at_all_is_refused(authority: TestAuthority) -> None:
    refusal = add(authority, [])
    assert isinstance(refusal, Refusal)


def test_applied_policy_is_in_force_from_its_entry_on(authority: TestAuthority) -> None:
    text = POLICY.replace('as = ["logs"]', 'as = ["journal"]') + "# " + 'é"\n# ' * 20_000
    digest = hashlib.sha256(text.encode()).hexdigest()
    command = ApplyPolicy(files=[{"name": "policy.toml", "sha256": digest}])  # type: ignore[list-item]
    files = [PolicyFile(name="policy.toml", text=text)]
    answer = Answer()
    authority.writer.submit(
        apply_policy(command, files, orders(authority, command), answer, now_s=NOW_MS // 1000)
    )
    assert answer.arrived.wait(10)
    assert not isinstance(answer.value, Refusal)
    assert answer.value is not None
    assert [entry.kind for entry in answer.value][-2:] == ["policy.file", "policy.applied"]
    assert authority.state.applied is not None
    assert authority.state.applied.seq == answer.value[-1].seq
    assert authority.state.applied.policy.grants[1].grant.logins == ("journal",)


def test_policy_text_that_was_not_ordered_is_refused() -> None:
    command = ApplyPolicy(files=[{"name": "policy.toml", "sha256": "0" * 64}])  # type: ignore[list-item]
    with pytest.raises(Refusal, match="not the ones"):
        check_files(command, [PolicyFile(name="policy.toml", text=POLICY)], now_s=NOW_MS // 1000)


@pytest.mark.parametrize(
    "text", ["", "x" * 40_000, "\n" * 40_001, '"' * 100_000, "é" * 50_000, "\U0001f511" * 30_000]
)
def test_split_text_joins_again_and_every_part_fits(text: str) -> None:
    parts = list(split_text(text))
    assert "".join(parts) == text
    assert all(len(part.encode()) <= 40_000 for part in parts)
    assert len(parts) <= max(1, len(text.encode()) // 10_000)
