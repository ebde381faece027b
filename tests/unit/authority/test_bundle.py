"""The document for a host's sshd: which CAs, which principals, and which bytes are signed. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from appliance.authority.fold.records import AppliedPolicy, CaKey
from appliance.authority.fold.state import State
from appliance.authority.publishing.bundle import (
    FRESH_S,
    HostView,
    SignedStatement,
    build_document,
    bundle_statement,
    view_host,
)
from appliance.authority.publishing.krl import make_krl, view_krl
from appliance.errors import Refusal
from appliance.policy.document import PolicyFile, parse_policy
from appliance.ssh.keys import fingerprint, format_public_key_line, parse_public_key_line
from audit.entry import canonical_json
from audit.ledger import Ledger
from audit.stores.memory import MemoryStore
from support.authority import NOW_MS, ORIGIN, POLICY, identity, seed_entries
from support.ssh_examples import public_key

HOST = "web-1.acme.example"
NOW_S = NOW_MS // 1000
CAROL = identity("carol")
MORE = """
[[customer]]
name = "other"
user_ca = "other-users"
host_ca = "other-hosts"
[[host_group]]
name = "everything"
customer = "acme"
hosts = ["web-1.acme.example"]
[[host_group]]
name = "elsewhere"
customer = "acme"
hosts = ["web-2.acme.example"]
[[grant]]
name = "more"
who = { users = ["mtls:bob"] }
on = ["everything", "elsewhere"]
as = ["deploy", "admin$"]
"""


def state() -> State:
    folded = State()
    with Ledger.create(MemoryStore()).batch(NOW_MS) as batch:
        for kind, data in seed_entries():
            folded.apply(batch.append(kind, data))
    return folded


def view(folded: State, policy: str = POLICY) -> HostView:
    parsed = parse_policy([PolicyFile(name="policy.toml", text=policy)])
    folded.applied = AppliedPolicy(seq=2, policy=parsed)
    return view_host(folded, CAROL, HOST, NOW_S)


def document(view: HostView, certificate: str | None = None) -> dict[str, Any]:
    raw = build_document(view, certificate)
    parsed: dict[str, Any] = json.loads(raw)
    assert canonical_json(parsed) == raw
    return parsed


def principals(policy: str) -> dict[str, str]:
    return {each["login"]: each["text"] for each in document(view(state(), policy))["principals"]}


def test_principals_are_those_of_every_group_that_the_host_is_in() -> None:
    assert principals(POLICY) == {"deploy": "deploy@web\n", "logs": "logs@web\n"}
    assert principals(POLICY + MORE) == {
        "admin$": "admin$@everything\n",
        "deploy": "deploy@everything\ndeploy@web\n",
        "logs": "logs@web\n",
    }


def test_group_of_bare_logins_has_the_bare_login_as_its_principal() -> None:
    bare = POLICY.replace('match = { role = "web" }', 'match = { role = "web" }\nprincipals = "login"')
    assert principals(bare) == {"deploy": "deploy\n", "logs": "logs\n"}


def test_host_whose_labels_put_it_nowhere_lets_nobody_in() -> None:
    assert principals(POLICY.replace('role = "web"', 'role = "db"')) == {}


@pytest.mark.parametrize(
    ("phase", "halted", "trusted"),
    [
        ("created", False, False),
        ("trusted", False, True),
        ("signing", False, True),
        ("signing", True, False),
        ("retired", False, False),
    ],
)
def test_ca_key_is_trusted_while_it_may_sign(phase: Any, halted: bool, trusted: bool) -> None:
    folded = state()
    new = public_key("ed25519", 5)
    key = CaKey(public_key=new, fingerprint=fingerprint(new), phase=phase, halted=halted)
    old = folded.cas["users"]
    folded.cas["users"] = replace(old, keys=(*old.keys, key))
    lines = document(view(folded))["trusted_user_cas"].splitlines()
    assert lines[0] == f"{format_public_key_line(public_key('nistp256', 11))} users"
    assert (f"{format_public_key_line(new)} users" in lines[1:]) is trusted


def test_only_user_cas_of_the_customer_are_trusted() -> None:
    folded = state()
    users = folded.cas["users"]
    folded.cas["other-users"] = replace(users, name="other-users", customer="other")
    folded.cas["old-users"] = replace(users, name="old-users")  # no longer named by the policy
    lines = document(view(folded, POLICY + MORE))["trusted_user_cas"].splitlines()
    assert [line.split(" ")[2] for line in lines] == ["old-users", "users"]


def test_ca_that_was_made_for_another_customer_is_not_trusted_though_the_policy_names_it() -> None:
    """It signs nothing for this one, and what is revoked of it is in the other's KRLs alone."""
    folded = state()
    folded.cas["users"] = replace(folded.cas["users"], customer="former")
    found = document(view(folded))
    assert found["trusted_user_cas"] == ""
    assert "krl" not in found


def ca_key(seed: int, phase: Any, *, halted: bool = False) -> CaKey:
    key = public_key("ed25519", seed)
    return CaKey(public_key=key, fingerprint=fingerprint(key), phase=phase, halted=halted)


@pytest.mark.parametrize(
    "keys",
    [
        (),
        (ca_key(5, "trusted"),),
        (ca_key(5, "retired"), ca_key(6, "created")),
    ],
    ids=["the one that signs", "beside a next one", "among others"],
)
def test_statement_about_the_krl_of_a_host_names_a_key_that_it_trusts(keys: tuple[CaKey, ...]) -> None:
    """Or it would refuse the KRL (docs/formats/krl.md), and go on with an old one."""
    folded = state()
    users = folded.cas["users"]
    folded.cas["aaa"] = replace(users, name="aaa", keys=(ca_key(7, "created"),))
    folded.cas["users"] = replace(users, keys=(*users.keys, *keys))
    assert stated_key(folded) == users.keys[0].fingerprint


def test_statement_names_another_trusted_key_while_the_one_that_signs_is_halted() -> None:
    folded = state()
    users = folded.cas["users"]
    (signing,) = users.keys
    keys = (ca_key(5, "trusted"), replace(signing, halted=True), ca_key(6, "created"))
    folded.cas["users"] = replace(users, keys=keys)
    assert stated_key(folded) == keys[0].fingerprint


def stated_key(folded: State) -> str:
    """Return the key in the statement about the KRL that the host's document names; it must be trusted."""
    found = document(view(folded))
    krl = make_krl(view_krl(folded, found["krl"].removeprefix("/v1/krl/"), NOW_S))
    trusted = [parse_public_key_line(line) for line in found["trusted_user_cas"].splitlines()]
    stated = krl.statement.splitlines()[2]
    assert stated in map(fingerprint, trusted)
    return stated


def test_certificate_comes_with_the_line_that_uses_it() -> None:
    without = document(view(state()))
    assert "host_certificate" not in without
    assert "HostCertificate" not in without["sshd_config"]
    held = document(view(state()), "ssh-ed25519-cert-v01@openssh.com AAAA")
    assert held["host_certificate"] == "ssh-ed25519-cert-v01@openssh.com AAAA\n"
    assert "HostCertificate /etc/ssh/chancery/host-cert.pub\n" in held["sshd_config"]


def test_document_names_the_krl_of_the_customer_and_the_line_that_uses_it() -> None:
    found = document(view(state()))
    assert found["krl"] == "/v1/krl/users"
    assert "RevokedKeys /etc/ssh/chancery/revoked_keys\n" in found["sshd_config"]


def test_host_that_trusts_no_ca_needs_no_krl() -> None:
    """sshd refuses everyone while the file is missing, so the line comes only with a KRL to fetch."""
    folded = state()
    del folded.cas["users"]
    found = document(view(folded))
    assert "krl" not in found
    assert "RevokedKeys" not in found["sshd_config"]


def test_document_says_nothing_of_when_it_was_made() -> None:
    later = replace(view(state()), now_s=NOW_S + 1_000, size=99)
    assert build_document(later, None) == build_document(view(state()), None)


def test_statement_is_these_bytes() -> None:
    signed = bundle_statement(view(state()), b"{}", size=17, generated_s=1, fresh_until_s=2)
    digest = hashlib.sha256(b"{}").hexdigest()
    assert signed == f"chancery/bundle/v1\n{ORIGIN}\n{HOST}\n17\n{digest}\n1\n2\n".encode()


def test_host_has_its_own() -> None:
    assert view_host(state(), identity(HOST, kind="host"), HOST, NOW_S).host.name == HOST


def test_host_has_no_other() -> None:
    with pytest.raises(Refusal) as refused:
        view_host(state(), identity("web-2.acme.example", kind="host"), HOST, NOW_S)
    assert refused.value.slug == "policy-denied"


@pytest.mark.parametrize("kind", ["user", "service"])
def test_user_or_service_that_is_called_like_a_host_is_none(kind: str) -> None:
    with pytest.raises(Refusal, match="neither"):
        view_host(state(), identity(HOST, kind=kind), HOST, NOW_S)


@pytest.mark.parametrize(
    ("document", "age_s", "min_size", "covers"),
    [
        (b"{}", 0, 0, True),
        (b"{}", FRESH_S // 2 - 1, 17, True),
        (b"{}", FRESH_S // 2, 0, False),
        (b"{}", -1, 0, False),  # the clock was set back
        (b"{}", 0, 18, False),
        (b"[]", 0, 0, False),
    ],
)
def test_statement_is_given_again_until_half_of_its_time_is_over(
    document: bytes, age_s: int, min_size: int, covers: bool
) -> None:
    digest = hashlib.sha256(b"{}").digest()
    signed = SignedStatement(digest=digest, size=17, generated_s=NOW_S, statement="", signature="")
    assert signed.covers(document, now_s=NOW_S + age_s, min_size=min_size) is covers
