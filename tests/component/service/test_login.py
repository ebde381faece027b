"""`chancery login` from an engineer's machine to a shell on a host: nothing of it is played by a stand-in.

A real provider and a real directory say who it is, the service issues, a real ssh-agent holds the
certificate, and a real sshd that trusts the CA alone lets it in.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from appliance.client.saved import Login, save_login
from appliance.clock import now_s
from support.agent import running_agent
from support.directory import PASSWORD, running_directory
from support.openid import Browser, OpenIdProvider, fetch_token, running_provider
from support.service import CHANCERY, HOST, POLICY, Service, free_port, make_service
from support.sshd import Sshd, make_host_key, running_sshd

GRANTS = """
[[grant]]
name = "people"
who = {{ groups = ["oidc:dba", "ldap:dba"] }}
on = ["web"]
as = ["root"]
ttl = "1h"
permit = ["pty"]
[[grant]]
name = "short"
who = {{ groups = ["oidc:dba"] }}
on = ["db"]
as = ["postgres"]
ttl = "5m"
[[grant]]
name = "restore"
who = {{ users = ["oidc:cleo"] }}
on = ["db"]
as = ["postgres"]
ttl = "30m"
require = {{ approvals = 1, approvers = ["owners"] }}
[[group]]
name = "owners"
members = ["oidc:bob"]
[[person]]
name = "bob"
identities = ["oidc:bob"]
keys = ["BOBS KEY"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Laptop:
    """An engineer's machine: a home, an ssh-agent, and no data directory."""

    home: Path
    agent: Path
    service: Service
    provider: OpenIdProvider
    sshd: Sshd
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        own = {
            "HOME": str(self.home),
            "SSH_AUTH_SOCK": str(self.agent),
            "SSL_CERT_FILE": str(self.provider.ca),
        }
        return {**kept, **own, **self.more}

    @property
    def login_file(self) -> Path:
        return self.home / ".config" / "chancery" / "login.json"

    @property
    def first(self) -> tuple[str, ...]:
        """What is named at the first login, and remembered."""
        return (
            f"https://127.0.0.1:{self.service.port}",
            "--ca",
            str(self.service.data / "tls" / "server.pem"),
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [CHANCERY, *arguments],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # no terminal: passwords come from standard input
        )

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> tuple[str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(stdin, timeout=60)
        assert process.returncode == code, out + err
        assert "Traceback" not in err, err
        return out, err

    def log_in(self, *arguments: str) -> tuple[Any, str]:
        """Log in with a browser, as ada; return the JSON, and the text of the page at the end."""
        process = self.start("login", *arguments, "--no-browser", "--json")
        assert process.stderr is not None
        line = process.stderr.readline()
        url = re.fullmatch(r"Log in at (https://\S+)\n", line)
        assert url is not None, line + process.communicate(timeout=30)[1]
        _, text = Browser(self.provider.ca).open(url[1])
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return json.loads(out), text

    def become(self, subject: str) -> None:
        """Be logged in as somebody, as `chancery login` leaves it."""
        url, _, ca = self.first
        kept = Login(
            url=url,
            ca=ca,
            provider="oidc",
            identity=f"oidc:{subject}",
            credential=fetch_token(self.provider, subject),
            expires_s=now_s() + 3_000,
        )
        save_login(self.login_file.parent, kept)

    def held(self) -> list[str]:
        done = subprocess.run(
            ["ssh-add", "-l"], env=self.environment, capture_output=True, text=True, check=False
        )
        return [line for line in done.stdout.splitlines() if "no identities" not in line]

    def ssh(self) -> subprocess.CompletedProcess[str]:
        return self.sshd.login("-o", f"IdentityAgent={self.agent}", "-o", "IdentityFile=none")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, OpenIdProvider, Sshd]]:
    scratch = tmp_path_factory.mktemp("login")
    (scratch / "slapd").mkdir()
    with running_provider(scratch) as provider, running_directory(scratch / "slapd") as directory:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", scratch / "bob"], check=True)
        bobs = " ".join((scratch / "bob.pub").read_text().split()[:2])
        service = make_service(scratch, POLICY + GRANTS.replace("BOBS KEY", bobs))
        config = service.data / "chancery.toml"
        config.write_text(config.read_text() + provider.settings(groups="groups") + directory.settings())
        with service.running(CHANCERY_SERVICE_WORKERS="1"):
            service.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
            (scratch / "trusted").write_text(service.cli("ca", "export", "acme-users").stdout)
            (scratch / "principals").write_text("root@web\n")
            make_host_key(scratch / "ssh_host_ed25519_key")
            service.cli("cert", "sign", scratch / "ssh_host_ed25519_key.pub", "--for-host", HOST)
            trust = {
                "HostCertificate": str(scratch / "ssh_host_ed25519_key-cert.pub"),
                "TrustedUserCAKeys": str(scratch / "trusted"),
                "AuthorizedPrincipalsFile": str(scratch / "principals"),
            }
            with running_sshd(scratch, trust) as sshd:
                yield service, provider, sshd


@pytest.fixture
def laptop(place: tuple[Service, OpenIdProvider, Sshd], tmp_path: Path) -> Iterator[Laptop]:
    service, provider, sshd = place
    (tmp_path / "home").mkdir()
    with running_agent(tmp_path) as path:
        yield Laptop(home=tmp_path / "home", agent=path, service=service, provider=provider, sshd=sshd)


def test_login_with_a_browser_brings_a_certificate_that_logs_in_and_logout_takes_it_away(
    laptop: Laptop,
) -> None:
    assert laptop.ssh().returncode != 0
    port = free_port()
    found, page = laptop.log_in(*laptop.first, "--redirect-port", str(port))
    assert page == "You are logged in, and can close this window."
    assert found["identity"] == "oidc:ada"
    assert sorted(each["principals"] for each in found["certificates"]) == [["postgres@db"], ["root@web"]]
    mark = laptop.sshd.mark()
    done = laptop.ssh()
    assert done.returncode == 0, done.stderr
    assert "ID oidc:ada#" in laptop.sshd.logged("Accepted publickey", since=mark)
    assert stat.S_IMODE(laptop.login_file.stat().st_mode) == 0o600
    assert not list(laptop.home.rglob("id_*")), "the key is in the agent alone"
    held = laptop.held()
    assert len(held) == 2
    assert all("chancery https://" in line and "(ED25519-CERT)" in line for line in held)
    again = laptop.run("login")
    assert "root@web" in again[1]
    assert len(laptop.held()) == 2, "what the login before put there has gone"
    assert set(laptop.held()).isdisjoint(held)
    assert json.loads(laptop.run("logout", "--json")[0]) == {"forgotten": True, "removed": 2}
    assert laptop.held() == []
    assert not laptop.login_file.exists()
    assert laptop.ssh().returncode != 0


def test_login_that_the_service_takes_no_more_is_made_anew_without_being_asked_to(laptop: Laptop) -> None:
    laptop.log_in(*laptop.first)
    kept = json.loads(laptop.login_file.read_text())
    laptop.login_file.write_text(json.dumps(kept | {"credential": "chancery-session1." + "A" * 40}))
    found, _ = laptop.log_in("--login", "root")
    assert [each["principals"] for each in found["certificates"]] == [["root@web"]]
    assert json.loads(laptop.login_file.read_text())["credential"].startswith("eyJ")


def test_login_again_has_the_provider_ask_anew(laptop: Laptop) -> None:
    laptop.log_in(*laptop.first)
    process = laptop.start("login", "--again", "--no-browser")
    assert process.stderr is not None
    line = process.stderr.readline()
    Browser(laptop.provider.ca).open(line.removeprefix("Log in at ").strip())
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 0
    assert "prompt=login" in line


def test_login_on_another_device(laptop: Laptop) -> None:
    process = laptop.start("login", *laptop.first, "--device", "--login", "root", "--json")
    assert process.stderr is not None
    line = process.stderr.readline()
    shown = re.fullmatch(r"Open (https://\S+) and check the code ([A-Z-]+)\.\n", line)
    assert shown is not None, line
    browser = Browser(laptop.provider.ca)
    url, text = browser.open(shown[1])
    assert shown[2] in text
    url, text = browser.submit(url, text)
    browser.submit(url, text)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["identity"] == "oidc:ada"
    assert laptop.ssh().returncode == 0


def test_login_with_a_password_for_a_key_of_ones_own(laptop: Laptop) -> None:
    key = laptop.home / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    arguments = ("login", *laptop.first, "--user", "ada", "--key", str(key))
    _, err = laptop.run(*arguments, stdin=f"{PASSWORD}\n")
    assert "logged in as ldap:ada" in err
    assert (laptop.home / "id_ed25519-cert.pub").exists()
    assert laptop.ssh().returncode == 0
    assert PASSWORD not in laptop.login_file.read_text()
    assert sum("ED25519-CERT" in line for line in laptop.held()) == 1
    laptop.run(*arguments, "--again", stdin=f"{PASSWORD}\n")
    assert sum("ED25519-CERT" in line for line in laptop.held()) == 1, "the one before has gone"
    assert json.loads(laptop.run("logout", "--json")[0]) == {"forgotten": True, "removed": 1}
    assert not any("ED25519-CERT" in line for line in laptop.held())
    _, err = laptop.run(*arguments, "--again", stdin="wrong\n", code=1)
    assert "the name or the password is not valid" in err


def test_login_that_the_policy_denies_or_that_has_nowhere_to_go_says_why(laptop: Laptop) -> None:
    laptop.log_in(*laptop.first)
    assert "no grant" in laptop.run("login", "--login", "nobody", code=1)[1]
    assert "no providers fit" in laptop.run("login", "--provider", "elsewhere", code=1)[1]
    no_agent = Laptop(
        **{name: getattr(laptop, name) for name in ("home", "service", "provider", "sshd")},
        agent=laptop.home / "no",
    )
    assert "ssh-agent" in no_agent.run("login", code=1)[1]


def test_remedy_that_a_denial_names_can_be_had_where_the_denial_came(laptop: Laptop) -> None:
    laptop.become("cleo")
    denied = laptop.run("login", "--grant", "restore", code=1)[1]
    remedy = re.search(r"`chancery (approval request restore)`", denied)
    assert remedy is not None, denied
    number = json.loads(laptop.run(*remedy[1].split(), "--reason", "the backup of Tuesday", "--json")[0])[
        "approval"
    ]
    laptop.become("bob")
    shown = laptop.run("approval", "list")[0]
    assert re.search(rf"{number} +oidc:cleo +restore +open, 0 of 1 .* bob +the backup of Tuesday", shown), (
        shown
    )
    key = str(laptop.service.scratch / "bob")
    answer = ("approval", "give", str(number), "--person", "bob", "--key", key)
    given = laptop.run(*answer)[1]
    assert "on record as entry" in given
    assert "has given approval" in laptop.run(*answer, code=1)[1]
    laptop.become("cleo")
    (shown_,) = json.loads(laptop.run("approval", "list", "--json")[0])["approvals"]
    assert [(one["person"], one["answer"]) for one in shown_["answers"]] == [("bob", "given")]
    assert "postgres@db" in laptop.run("login", "--grant", "restore")[1]
    refused = laptop.run("approval", "refuse", str(number), "--person", "bob", "--key", key)[1]
    assert "certificates that were issued under it go on" in refused


def test_what_is_ones_own_is_asked_over_https_as_whom_one_is_logged_in(laptop: Laptop) -> None:
    found, _ = laptop.log_in(*laptop.first, "--login", "root")
    (issued,) = found["certificates"]
    listed = json.loads(laptop.run("cert", "list", "--json", "--limit", "1")[0])["certificates"]
    assert [each["serial"] for each in listed] == [issued["serial"]]
    assert issued["serial"] in laptop.run("cert", "list", "--state", "active")[0]
    assert "oidc:ada" in laptop.run("cert", "show", issued["serial"])[0]
    assert "people" in laptop.run("policy", "explain", "--login", "root")[0]
    assert "has not the role auditor" in laptop.run("policy", "explain", "api:alice", code=1)[1]
    booked = laptop.run("leave", "book", "oidc:ada", "2030-12-01", "2030-12-14", "--tz", "Europe/Berlin")[0]
    assert "2030-12-14T00:00:00+01:00 (the first moment with access again)" in booked
    (leave,) = json.loads(laptop.run("leave", "list", "--json")[0])["leave"]
    assert (leave["person"], leave["booked_by"], leave["timezone"]) == (
        "oidc:ada",
        "oidc:ada",
        "Europe/Berlin",
    )
    kept = json.loads(laptop.login_file.read_text())
    laptop.login_file.write_text(json.dumps(kept | {"credential": "chancery-session1." + "A" * 40}))
    assert "`chancery login` brings a new one" in laptop.run("leave", "list", code=1)[1]
    laptop.login_file.write_text(json.dumps(kept | {"expires_s": 1}))
    assert "the login has ended" in laptop.run("leave", "list", code=1)[1]
    laptop.login_file.unlink()
    assert "`chancery login https://…`, or name a data directory" in laptop.run("leave", "list", code=1)[1]


def connection(laptop: Laptop) -> tuple[str, ...]:
    """Where the host is, which no name server knows, and that nothing but its certificate is believed."""
    fixed = {"HostKeyAlias": HOST, "GlobalKnownHostsFile": "none", "StrictHostKeyChecking": "yes"}
    return ("-p", str(laptop.sshd.port), *(f"-o{name}={value}" for name, value in fixed.items()))


def test_ssh_signs_in_knows_the_host_by_its_ca_and_asks_nobody_again(laptop: Laptop) -> None:
    arguments = ("-F", "none", *connection(laptop), "root@127.0.0.1", "echo in; exit 7")
    url, _, ca = laptop.first
    process = laptop.start("ssh", "--url", url, "--ca", ca, *arguments)
    assert process.stderr is not None
    shown = re.fullmatch(r"Log in at (https://\S+)\n", process.stderr.readline())
    assert shown is not None
    Browser(laptop.provider.ca).open(shown[1])
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("in\n", 7), err
    known = laptop.home / ".config" / "chancery" / "known_hosts"
    assert re.fullmatch(r"@cert-authority \* \S+ \S+ acme-hosts\n", known.read_text())
    held = laptop.held()
    assert laptop.run("ssh", *arguments, code=7) == ("in\n", "")
    assert laptop.held() == held, "what lasts is not asked for again"
    known.write_text("")
    _, err = laptop.run("ssh", *arguments, code=255)
    assert "Host key verification failed" in err
    assert not list((laptop.home / ".ssh").glob("*")), "nothing of his own is touched"


def test_plain_ssh_signs_in_by_the_lines_of_ssh_config(laptop: Laptop) -> None:
    laptop.log_in(*laptop.first)
    laptop.run("logout")
    found, _ = laptop.log_in(*laptop.first)
    (laptop.home / "away").mkdir()
    lines = laptop.run("ssh-config", HOST)[0]
    config = laptop.home / "config"
    config.write_text(f"{lines}Host {HOST}\n    HostName 127.0.0.1\n")
    subprocess.run(["ssh-add", "-q", "-D"], env=laptop.environment, check=True)
    program = {"PATH": f"{Path(CHANCERY).parent}:{laptop.environment['PATH']}"}
    command = ["ssh", "-F", str(config), *connection(laptop), "-oBatchMode=yes", f"root@{HOST}", "echo in"]
    environment = laptop.environment | program
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("in\n", 0), done.stderr
    assert len(laptop.held()) == len(found["certificates"])
    assert "expected one such as" in laptop.run("ssh-config", 'x" exec "id', code=2)[1]


def test_known_hosts_are_fetched_without_a_login_for_the_hosts_that_are_named(laptop: Laptop) -> None:
    arguments = (laptop.first[0], "--ca", laptop.first[2])
    file = laptop.home / ".config" / "chancery" / "known_hosts"
    assert laptop.run("known-hosts", *arguments, "--print")[0].startswith("@cert-authority * ")
    assert not file.exists()
    shown = json.loads(laptop.run("known-hosts", *arguments, "--pattern", "*.acme.example", "--json")[0])
    assert shown == {"file": str(file), "lines": file.read_text().splitlines()}
    laptop.log_in(*laptop.first)
    assert file.read_text().startswith("@cert-authority *.acme.example "), "the login keeps to it"
    assert "expected one such as" in laptop.run("known-hosts", *arguments, "--pattern", "a b", code=2)[1]


def test_service_whose_certificate_is_of_an_unknown_ca_is_not_asked(laptop: Laptop) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in laptop.run("login", laptop.first[0], code=3)[1]
