"""The command line, as people and programs use it."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from audit.verifier import TilesSource, Verdict, verify_log
from support.service import CHANCERY, HOST, Service, make_service
from support.terminal import show_on_terminal


@pytest.fixture
def key(tmp_path: Path, service: Service) -> Path:
    path = tmp_path / "id.pub"
    path.write_text((service.operator_key.with_suffix(".pub")).read_text())
    return path


def test_certificate_is_signed_shown_listed_and_inspected(service: Service, key: Path) -> None:
    signed = json.loads(service.cli("cert", "sign", key, "--login", "deploy", "--json").stdout)
    serial = signed["certificates"][0]["serial"]
    line = key.with_name("id-cert.pub").read_text()
    assert line == signed["certificates"][0]["certificate"] + "\n"
    service.settled("/v1/access", "dave")
    assert json.loads(service.cli("cert", "show", serial, "--json").stdout)["subject"] == "local:root"
    listed = json.loads(service.cli("cert", "list", "--subject", "local:root", "--json").stdout)
    assert serial in [each["serial"] for each in listed["certificates"]]
    assert serial in service.cli("cert", "list").stdout
    inspected = service.cli("cert", "inspect", key.with_name("id-cert.pub"))
    assert "on_record        true" in inspected.stdout


def test_host_certificate_is_signed_for_an_enroller(service: Service, key: Path) -> None:
    signed = json.loads(service.cli("cert", "sign", key, "--for-host", HOST, "--ttl", "1d", "--json").stdout)
    (certificate,) = signed["certificates"]
    assert (certificate["type"], certificate["principals"]) == ("host", [HOST])
    both = service.cli("cert", "sign", key, "--for-host", HOST, "--login", "root", check=False)
    assert both.returncode == 2


def test_denied_certificate_is_exit_1_and_says_what_is_allowed(service: Service, key: Path) -> None:
    done = service.cli("cert", "sign", key, "--login", "postgres", check=False)
    assert done.returncode == 1
    assert "error: no grant of yours gives login 'postgres'" in done.stderr
    assert "your grants allow: deploy@web, root@web" in done.stderr


def test_status_and_doctor_find_nothing_wrong(service: Service) -> None:
    status = json.loads(service.cli("status", "--json").stdout)
    assert status["problems"] == []
    assert status["origin"] == "ca.example.org/log/1"
    assert "issuing     yes" in service.cli("status").stdout
    verdicts = {each["verdict"] for each in json.loads(service.cli("doctor", "--json").stdout)}
    assert verdicts <= {"ok", "warning"}


def test_tables_are_printed_for_people(service: Service) -> None:
    assert HOST in service.cli("host", "list").stdout
    assert "acme-users" in service.cli("ca", "list").stdout
    service.credential("alice")
    assert "api:alice" in service.cli("credential", "list").stdout
    assert 'name = "deploy"' in service.cli("policy", "show").stdout
    service.issue({"public_key": service.operator_key.with_suffix(".pub").read_text()})
    service.settled("/v1/access", "dave")
    assert "api:alice" in service.cli("access", "who", "--host", HOST).stdout
    assert json.loads(service.cli("access", "who", "--subject", "api:alice", "--json").stdout)["access"]


def test_lists_are_whole_on_a_narrow_terminal(service: Service) -> None:
    for what in ("ca", "lock", "operator", "host"):
        asked = [CHANCERY, "--data", service.data, what, "list"]
        shown = show_on_terminal(asked, columns=80)
        whole = service.cli(what, "list").stdout
        missing = [word for word in whole.split()[1:] if word not in shown]
        assert missing == [], shown


def test_access_is_told_by_subject_by_moment_and_by_policy(service: Service) -> None:
    service.settled("/v1/access", "dave")
    assert "deploy" in service.cli("access", "what", "api:alice", "--basis", "policy").stdout
    assert "nobody, by certificate" in service.cli("access", "at", "2001-01-01T00:00:00Z").stdout
    told = json.loads(service.cli("access", "what", "api:alice", "--json", "--limit", "1").stdout)
    assert (told["basis"], told["settled"]) == ("certificates", False)


def test_index_is_rebuilt_beside_the_running_service_to_the_state_that_it_had(service: Service) -> None:
    service.settled("/v1/access", "dave")
    index = service.data / "index" / "index.db"
    inode = index.stat().st_ino
    first, second = (json.loads(service.cli("ledger", "rebuild-index", "--json").stdout) for _ in range(2))
    assert index.stat().st_ino != inode
    if first["ledger_size"] == second["ledger_size"]:
        assert first == second
    reply = service.settled("/v1/access", "dave")
    assert reply["ledger_size"] >= second["ledger_size"]
    issued = service.issue({"public_key": service.operator_key.with_suffix(".pub").read_text()})
    assert issued
    assert service.settled("/v1/access", "dave")["ledger_size"] > second["ledger_size"]


def test_order_with_another_key_is_refused(service: Service, tmp_path: Path) -> None:
    other = make_key(tmp_path)
    done = service.cli(
        *("host", "add", "x.acme.example", "--customer", "acme", "--operator", "carol", "--key", other),
        check=False,
    )
    assert done.returncode == 1
    assert "signature is not one of carol's keys" in done.stderr


def test_order_by_an_operator_without_the_role_is_refused(service: Service) -> None:
    done = service.cli(
        *("host", "add", "x.acme.example", "--customer", "acme"),
        *("--operator", "erin", "--key", service.operator_key),
        check=False,
    )
    assert done.returncode == 1


def test_new_ca_key_is_made_by_order_and_waits_for_trust(service: Service) -> None:
    done = service.order("ca", "create", "acme-users", "--type", "user", "--customer", "acme", check=False)
    assert "hosts must trust the new one first" in done.stderr
    service.order("ca", "rotate", "acme-users", "--phase", "created", "--algorithm", "ed25519")
    service.settled("/v1/access", "dave")
    keys = json.loads(service.cli("ca", "list", "--json").stdout)["cas"]
    phases = [key["phase"] for key in keys if key["ca"] == "acme-users"]
    assert phases == ["signing", "created"]
    assert service.cli("ca", "export", "acme-users").stdout.count("\n") == 1


def test_policy_is_checked_offline_with_every_problem(service: Service, tmp_path: Path) -> None:
    text = (service.scratch / "policy.toml").read_text()
    broken = tmp_path / "broken.toml"
    broken.write_text(text.replace('on = ["web"]', 'on = ["wep"]').replace('ttl = "30m"', 'ttl = "soon"'))
    done = service.cli("policy", "check", broken, check=False)
    assert done.returncode == 1
    assert "broken.toml: grant \"dba\": ttl: got 'soon'" in done.stderr
    assert service.cli("policy", "check", service.scratch / "policy.toml").returncode == 0


def test_export_verifies_and_is_continued(service: Service, tmp_path: Path) -> None:
    service.cli("ledger", "export", tmp_path / "log")
    service.cli("ledger", "export", tmp_path / "log")
    pinned = (service.data / "ledger.vkey").read_text().strip()
    with TilesSource(tmp_path / "log") as source:
        assert verify_log(source, pinned_key=pinned).verdict is Verdict.VERIFIED
    assert "VERIFIED" in service.cli("ledger", "verify", tmp_path / "log").stdout


def test_ledger_is_verified_beside_the_running_service(service: Service) -> None:
    checkpoint = service.scratch / "checkpoint"
    checkpoint.write_text(service.cli("ledger", "checkpoint").stdout)
    done = service.cli("ledger", "verify", "--earlier", checkpoint, "--json", check=False)
    report = json.loads(done.stdout)
    assert report["verdict"] == "verified", report["findings"]
    assert report["checked"]["order signatures"] >= 5
    # An empty one is a variable that was not set: no other key may stand in for what was to be pinned.
    unset = service.cli("ledger", "verify", "--key", "", check=False)
    assert (unset.returncode, unset.stdout) == (3, ""), unset.stdout
    assert "the pinned key cannot be used" in unset.stderr
    other = service.cli("ledger", "verify", "--key", "nonsense", check=False)
    assert other.returncode == 3


def test_init_refuses_a_directory_that_holds_something(service: Service) -> None:
    done = service.order("init", "--single-user", "--origin", "other.example", check=False)
    assert done.returncode == 1
    assert "is not empty" in done.stderr


def test_init_with_a_key_that_is_not_the_operators_founds_nothing(service: Service, tmp_path: Path) -> None:
    other = make_key(tmp_path)
    data = Service(data=tmp_path / "new", scratch=tmp_path, port=1, health=1)
    done = data.cli(
        *("init", "--single-user", "--origin", "x.example", "--operator", "carol", "--key", other),
        *("--policy", service.scratch / "policy.toml"),
        check=False,
    )
    assert done.returncode == 1
    assert "carol's keys" in done.stderr


def test_secrets_lie_open_to_nobody(service: Service) -> None:
    for name in ("ledger.db", "token/pin", "token/so-pin", "tls/server.key"):
        assert stat.S_IMODE((service.data / name).stat().st_mode) == 0o600, name
    pin = (service.data / "token" / "pin").read_text().strip()
    assert pin not in service.log
    assert pin not in (service.data / "chancery.toml").read_text()


def test_service_that_does_not_run_is_exit_3(tmp_path: Path) -> None:
    stopped = make_service(tmp_path)
    done = stopped.cli("status", check=False)
    assert done.returncode == 3
    assert "start it with `chancery serve`" in done.stdout
    assert stopped.order("host", "remove", HOST, check=False).returncode == 3


def make_key(directory: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "other"], check=True)
    return directory / "other"
