"""The command line for programs: JSON from every command that shows or does something."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.service import CHANCERY, HOST, Service, make_service


def run(service: Service, *arguments: object) -> Any:
    return json.loads(service.cli(*arguments, "--json").stdout)


def order(service: Service, *arguments: object) -> Any:
    return json.loads(service.order(*arguments, "--json").stdout)


@pytest.fixture
def key(tmp_path: Path, service: Service) -> Path:
    path = tmp_path / "id.pub"
    path.write_text(service.operator_key.with_suffix(".pub").read_text())
    return path


def test_orders_say_what_is_on_record_of_them(service: Service) -> None:
    name = "json.acme.example"
    added = order(service, "host", "add", name, "--customer", "acme")
    assert (added["done"], added["host"]) == (True, name)
    assert [entry["kind"] for entry in added["entries"]] == ["host.registered"]
    service.settled("/v1/whoami", "dave")
    shown = run(service, "host", "show", name)
    assert (shown["entry"], shown["host_groups"]) == (added["entries"][0]["seq"], [])
    assert run(service, "host", "show", HOST)["host_groups"] == ["web"]
    removed = order(service, "host", "remove", name)
    assert [entry["kind"] for entry in removed["entries"]] == ["host.removed"]
    applied = order(service, "policy", "apply", service.scratch / "policy.toml")
    assert [entry["kind"] for entry in applied["entries"]] == ["policy.file", "policy.applied"]


def test_order_that_waits_for_another_operator_says_where(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "order.json"
    command = ("host", "add", "later.acme.example", "--customer", "acme", "--sign-only", path)
    assert order(service, *command) == {"done": False, "order": str(path), "host": "later.acme.example"}
    assert run(service, "order", "show", path)["command"]["verb"] == "host.add"


def test_new_ca_key_is_told_and_exported(service: Service) -> None:
    made = order(service, "ca", "rotate", "acme-hosts", "--phase", "created", "--algorithm", "ed25519")
    assert (made["ca"], [entry["kind"] for entry in made["entries"]]) == ("acme-hosts", ["ca.created"])
    service.settled("/v1/whoami", "dave")
    signing, created = run(service, "ca", "export", "acme-hosts", "--known-hosts")["keys"]
    assert signing["install"] == service.cli("ca", "export", "acme-hosts", "--known-hosts").stdout
    assert created["install"] == ""  # nobody is to trust it yet
    assert "CKA_SENSITIVE" in created["transcript"]


def test_revocations_say_by_which_entry_or_that_they_stood_already(service: Service, key: Path) -> None:
    serial = run(service, "cert", "sign", key, "--login", "deploy")["certificates"][0]["serial"]
    first = run(service, "cert", "revoke", serial, "--reason", "test")
    assert (first["serial"], first["revoked"]) == (serial, True)
    assert first["entry"] > 10
    again = run(service, "cert", "revoke", serial, "--reason", "test")
    assert (again["serial"], again["revoked"], again["already"]) == (serial, True, True)
    assert (again["count"], again["live"]) == (0, [])
    made = order(service, "credential", "create", "to-revoke", "--kind", "user")
    assert made["identity"] == "api:to-revoke"
    assert [entry["kind"] for entry in made["entries"]] == ["credential.created"]
    assert run(service, "credential", "revoke", made["id"], "--reason", "test")["entry"] > first["entry"]


def test_policy_is_checked_for_programs(service: Service, tmp_path: Path) -> None:
    policy = service.scratch / "policy.toml"
    checked = run(service, "policy", "check", policy)
    assert (checked["valid"], checked["problems"], len(checked["files"])) == (True, [], 1)
    broken = tmp_path / "broken.toml"
    broken.write_text(policy.read_text().replace('on = ["web"]', 'on = ["wep"]'))
    done = service.cli("policy", "check", broken, "--json", check=False)
    assert done.returncode == 1
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["file"], problem["where"]) == ("broken.toml", 'grant "deploy": on[0]')


def test_operators_are_listed_with_what_they_may_order(service: Service) -> None:
    listed = run(service, "operator", "list")
    assert listed["two_operators"] == []
    by_name = {each["name"]: each for each in listed["operators"]}
    assert "policy.apply" in by_name["carol"]["may_order"]
    assert by_name["carol"]["keys"][0].startswith("SHA256:")
    assert by_name["dave"]["may_order"] == []
    assert "nothing: no key to sign with" in service.cli("operator", "list").stdout


def test_ledger_answers_programs(service: Service, key: Path, tmp_path: Path) -> None:
    serial = run(service, "cert", "sign", key, "--login", "deploy")["certificates"][0]["serial"]
    size = service.settled("/v1/whoami", "dave")["ledger_size"]
    path = f"/v1/ledger/entries?start=0&limit=1&min_size={size}"
    while service.http("GET", path, as_="dave").status != 200:
        pass  # a second at most for each
    proof = run(service, "ledger", "proof", serial)
    assert proof["proof"].startswith("c2sp.org/tlog-proof@v1\n")
    checkpoint = run(service, "ledger", "checkpoint")
    assert checkpoint["size"] >= size
    assert checkpoint["checkpoint"].startswith(f"{checkpoint['origin']}\n{checkpoint['size']}\n")
    exported = run(service, "ledger", "export", tmp_path / "log")
    assert exported["size"] >= checkpoint["size"]
    (tmp_path / "one.tlog-proof").write_text(proof["proof"])
    verified = service.cli("ledger", "verify", tmp_path / "one.tlog-proof")
    assert "verdict     VERIFIED" in verified.stdout
    assert run(service, "ledger", "verify", tmp_path / "one.tlog-proof")["verdict"] == "verified"


def test_bundle_of_a_host_is_printed_for_people_and_for_programs(service: Service) -> None:
    bundle = run(service, "host", "sshd", HOST)
    assert bundle["document"] == service.http("GET", f"/v1/hosts/{HOST}/sshd", as_="dave").json["document"]
    printed = service.cli("host", "sshd", HOST).stdout
    assert "# principals/root\nroot@web\n" in printed
    assert "AuthorizedPrincipalsFile /etc/ssh/chancery/principals/%u" in printed


def test_index_that_is_lost_is_derived_anew_and_followed_from_there(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with service.running():
        service.order("host", "add", HOST, "--customer", "acme")
        service.settled("/v1/whoami", "dave")
    before = run(service, "host", "list")
    for path in (service.data / "index").glob("index.db*"):
        path.unlink()
    assert service.cli("host", "list", check=False).returncode == 1
    rebuilt = run(service, "ledger", "rebuild-index")
    after = run(service, "host", "list")
    assert after["hosts"] == before["hosts"]
    assert after["ledger_size"] == rebuilt["ledger_size"] > before["ledger_size"]
    assert "VERIFIED" in service.cli("ledger", "verify", service.data / "index" / "tiles").stdout
    with service.running():
        assert service.settled("/v1/whoami", "carol")["ledger_size"] > rebuilt["ledger_size"]


def test_init_says_what_it_made(service: Service, tmp_path: Path) -> None:
    done = order(
        Service(data=tmp_path / "second", scratch=service.scratch, port=1, health=1),
        *("init", "--single-user", "--origin", "ca.example.org", "--policy", service.scratch / "policy.toml"),
    )
    assert done["data"] == str(tmp_path / "second")
    assert done["origin"] == "ca.example.org/log/1"
    assert done["ledger_key"].startswith("ca.example.org/log/1+")


def on_a_terminal(service: Service, *arguments: str, **environment: str) -> str:
    """Run a command on a terminal of its own; return what it wrote there."""
    primary, secondary = pty.openpty()
    subprocess.run(
        [CHANCERY, "--data", service.data, *arguments],
        stdout=secondary,
        stderr=secondary,
        check=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", **environment},
    )
    written = os.read(primary, 65_536)
    os.close(secondary)
    os.close(primary)
    return written.decode()


def test_tables_are_coloured_on_a_terminal_only_and_not_against_no_color(service: Service) -> None:
    assert "\x1b[32msigning" in on_a_terminal(service, "ca", "list")
    assert "\x1b[32m" not in on_a_terminal(service, "ca", "list", NO_COLOR="1")
    assert "\x1b" not in service.cli("ca", "list").stdout


def test_long_work_tells_how_far_it_is_on_a_terminal_only(service: Service, tmp_path: Path) -> None:
    assert "(100 %)" in on_a_terminal(service, "ledger", "export", str(tmp_path / "one"))
    assert "%" not in service.cli("ledger", "export", tmp_path / "two").stderr


def test_what_others_wrote_is_neither_markup_nor_an_order_to_the_terminal(service: Service) -> None:
    value = "[red]x[/red]\x1b]0;title\x07"
    service.order("host", "add", "odd.acme.example", "--customer", "acme", "--label", f"note={value}")
    service.settled("/v1/whoami", "dave")
    printed = service.cli("host", "list").stdout
    assert r"note=[red]x[/red]\x1b]0;title\x07" in printed
    assert "\x1b" not in service.cli("host", "show", "odd.acme.example").stdout
    service.order("host", "remove", "odd.acme.example")
