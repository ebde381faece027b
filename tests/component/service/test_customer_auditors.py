"""An auditor of one customer, as an attacker: every reading route is asked for another's data, and has none.

What is another's is answered as what does not exist, to the letter: by list, by name, by serial, by cursor.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from appliance.authority.ordering.commands import AddHost, LabelBody
from support.orders import give, give_credentials
from support.service import POLICY, Reply, Service, make_service

GLOBEX: Final = """
[[customer]]
name = "globex"
user_ca = "globex-users"
host_ca = "globex-hosts"
[[host_group]]
name = "vault"
customer = "globex"
match = { role = "vault" }
[[grant]]
name = "keeper"
who.users = ["api:gina"]
on = ["vault"]
as = ["keeper"]
[[operator]]
name = "acme-auditor"
identities = ["api:spy", "local:root"]
roles = ["auditor"]
customers = ["acme"]
"""
FILES: Final = {
    "acme.toml": 'version = 1\ncustomer = "acme"\n',
    "globex.toml": 'version = 1\ncustomer = "globex"\n[[group]]\nname = "keepers"\nmembers = ["api:gina"]\n',
}
NOTHING: Final = "no-such"
# What only globex has, or what only its records say.
MARKS: Final = ("globex", "gina", "vault", "keeper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What there is of globex."""

    service: Service
    serial: str
    certificate: str
    fingerprint: str
    key_id: str

    def ask(self, path: str, body: object = None) -> Reply:
        return self.service.http("GET" if body is None else "POST", path, body, as_="spy")


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secret]:
    scratch = tmp_path_factory.mktemp("auditors")
    paths: list[object] = []
    for name, text in FILES.items():
        (scratch / name).write_text(text)
        paths += ["--policy", scratch / name]
    service = make_service(scratch, _without_root(POLICY) + re.sub(r"([{}])", r"\1\1", GLOBEX), *paths)
    with service.running():
        give_credentials(service, "alice", "gina", "erin", "dave", "spy")
        for host, customer, role in (
            ("web-1.acme.example", "acme", "web"),
            ("safe.globex.example", "globex", "vault"),
        ):
            label = LabelBody(name="role", value=role)
            give(service, AddHost(name=host, customer=customer, names=[host], labels=[label]))
        key = service.operator_key.with_suffix(".pub").read_text()
        service.issue({"public_key": key, "host_groups": ["web"]})
        service.issue({"public_key": key, "host": "web-1.acme.example"}, "erin", "host")
        (issued,) = service.issue({"public_key": key, "reason": "globex audit"}, "gina")
        service.issue({"public_key": key, "host": "safe.globex.example"}, "erin", "host")
        shown = service.settled(f"/v1/certificates/{issued['serial']}", "dave")
        service.settled("/v1/hosts", "dave")
        yield Secret(
            service=service,
            serial=issued["serial"],
            certificate=issued["certificate"],
            fingerprint=shown["key_fingerprint"],
            key_id=issued["key_id"],
        )


def _without_root(policy: str) -> str:
    """Return the policy in which whoever runs the tests is nobody yet: GLOBEX makes an auditor of him."""
    return policy.replace('"local:root", "api:carol"', '"api:carol"').replace(
        '"api:erin", "local:root"', '"api:erin"'
    )


def bare(reply: Reply, *names: str) -> tuple[int, str]:
    """Return an answer without what differs in every one: the request's id, the size, the name asked for."""
    text = reply.body.decode()
    for name in names:
        text = text.replace(name, "*")
    text = re.sub(r'"instance": ?"urn:uuid:[0-9a-f-]+"', "", text)
    return reply.status, re.sub(r'"(ledger_size|at)": ?("[^"]*"|\d+)', "", text)


LISTS: Final = (
    "/v1/certificates",
    "/v1/certificates?type=host",
    "/v1/certificates?limit=1",
    "/v1/access",
    "/v1/access?basis=policy",
    "/v1/hosts",
    "/v1/policy",
    "/v1/whoami",
)


@pytest.mark.parametrize("path", LISTS)
def test_list_has_what_is_acme_s_and_no_word_of_globex(secret: Secret, path: str) -> None:
    reply = secret.ask(path)
    assert reply.status == 200, reply.body
    assert "acme" in reply.body.decode()
    assert [mark for mark in MARKS if mark in reply.body.decode()] == []


QUESTIONS: Final = (
    ("/v1/certificates?customer={}", "globex"),
    ("/v1/certificates?subject={}", "api:gina"),
    ("/v1/certificates?principal={}", "keeper@vault"),
    ("/v1/certificates?host={}", "safe.globex.example"),
    ("/v1/certificates?state=active&customer={}", "globex"),
    ("/v1/certificates?state=pending&customer={}", "globex"),
    ("/v1/certificates?state=expired&customer={}", "globex"),
    ("/v1/access?customer={}", "globex"),
    ("/v1/access?subject={}", "api:gina"),
    ("/v1/access?login={}", "keeper"),
    ("/v1/access?host={}", "safe.globex.example"),
    ("/v1/access?host_group={}", "vault"),
    ("/v1/access?basis=policy&customer={}", "globex"),
    ("/v1/access?basis=policy&subject={}", "api:gina"),
    ("/v1/access?basis=policy&host={}", "safe.globex.example"),
    ("/v1/access?basis=policy&host_group={}", "vault"),
    ("/v1/access?at=2001-01-01T00:00:00Z&host={}", "safe.globex.example"),
    ("/v1/access/explain?host={}", "safe.globex.example"),
    ("/v1/access/explain?host_group={}", "vault"),
    ("/v1/hosts/{}", "safe.globex.example"),
    ("/v1/hosts/{}/sshd", "safe.globex.example"),
)


@pytest.mark.parametrize(("path", "name"), QUESTIONS)
def test_question_about_globex_is_answered_as_one_about_nothing(secret: Secret, path: str, name: str) -> None:
    about = bare(secret.ask(path.format(quote(name))), name)
    nothing = f"{NOTHING}:x" if ":" in name else NOTHING
    assert about == bare(secret.ask(path.format(quote(nothing))), nothing)
    assert [mark for mark in MARKS if mark in about[1]] == []
    own = secret.service.http("GET", path.format(quote(name)), as_="dave")
    assert bare(own, name) != about or "pending" in path or "expired" in path or "2001" in path


def test_who_sees_only_his_own_grants_learns_of_no_place_that_they_are_not_on(secret: Secret) -> None:
    for name, place in (("host", "safe.globex.example"), ("host_group", "vault"), ("host_group", "db")):
        path = f"/v1/access/explain?login=root&{name}="
        about = bare(secret.service.http("GET", path + place, as_="bob"), place)
        assert about == bare(secret.service.http("GET", path + NOTHING, as_="bob"), NOTHING)
        assert "'deploy' is not on *, but on web" in about[1]


def test_serial_of_globex_is_answered_as_one_that_was_never_given(secret: Secret) -> None:
    never = str(1 << 48 | 9_999)
    for path in ("/v1/certificates/{}", "/v1/ledger/proof/{}"):
        about = secret.ask(path.format(secret.serial))
        assert about.slug == "not-found"
        assert bare(about, secret.serial) == bare(secret.ask(path.format(never)), never)


def test_certificate_is_not_found_by_what_else_identifies_it(secret: Secret) -> None:
    by_id = secret.ask(f"/v1/certificates?key_id={quote(secret.key_id, safe='')}").json
    assert by_id["certificates"] == []
    found = secret.ask(f"/v1/certificates?fingerprint={quote(secret.fingerprint, safe='')}").json[
        "certificates"
    ]
    assert {each["customer"] for each in found} == {"acme"}, "the key is one that acme's have too"


def test_certificate_shown_by_globex_ca_is_looked_over_the_same_on_record_or_not(secret: Secret) -> None:
    shown = secret.ask("/v1/certificates/inspect", {"certificate": secret.certificate})
    assert shown.slug == "not-found"
    words = secret.certificate.split(" ")
    forged = " ".join([words[0], words[1][:-20] + "A" * 4 + words[1][-16:], *words[2:]])
    other = secret.ask("/v1/certificates/inspect", {"certificate": forged})
    assert bare(shown) == bare(other)
    (own, *_) = secret.ask("/v1/certificates?type=user").json["certificates"]
    seen = secret.ask("/v1/certificates/inspect", {"certificate": own["certificate"]}).json
    assert seen["on_record"]


def test_cursor_of_somebody_who_sees_all_shows_nothing_more(secret: Secret) -> None:
    for path in ("/v1/certificates?limit=1", "/v1/access?limit=1", "/v1/hosts?limit=1"):
        cursor = secret.service.http("GET", path, as_="dave").json["cursor"]
        assert cursor is not None
        reply = secret.ask(f"{path.replace('limit=1', 'limit=9')}&cursor={cursor}")
        assert reply.status == 200
        assert [mark for mark in MARKS if mark in reply.body.decode()] == []


@pytest.mark.parametrize(
    "path",
    ["/v1/ledger/entries?start=0", "/v1/ledger/tile/entries/000.p/8", "/v1/ledger/consistency?old=1&new=2",
     "/v1/locks", "/v1/access/explain?subject=api:alice"],
)  # fmt: skip
def test_what_is_everyone_s_is_for_auditors_of_all_customers(secret: Secret, path: str) -> None:
    refused = secret.ask(path)
    assert refused.slug == "policy-denied"
    assert " auditor" in refused.json["detail"]
    assert "for all customers" in refused.json["detail"]


def test_role_that_somebody_has_for_no_customer_at_all_is_not_for_all_customers(secret: Secret) -> None:
    refused = secret.ask("/v1/credentials")
    assert (refused.slug, "for all customers" in refused.json["detail"]) == ("policy-denied", False)


def test_acme_s_own_is_seen_in_full(secret: Secret) -> None:
    hosts = secret.ask("/v1/hosts").json["hosts"]
    assert [host["name"] for host in hosts] == ["web-1.acme.example"]
    assert secret.ask("/v1/hosts/web-1.acme.example/sshd").status == 200
    of_host, certificate = secret.ask("/v1/certificates").json["certificates"]
    assert of_host["host"] == "web-1.acme.example"
    assert secret.ask(f"/v1/certificates/{certificate['serial']}").json["subject"] == "api:alice"
    rows = secret.ask("/v1/access?basis=policy").json["access"]
    assert {row["customer"] for row in rows} == {"acme"}
    assert [file["name"] for file in secret.ask("/v1/policy").json["files"]] == ["acme.toml"]
    who = secret.ask("/v1/whoami").json
    assert (who["roles"], who["customers"]) == (["auditor"], ["acme"])


def test_certificates_of_his_own_an_auditor_sees_whosever_they_are(secret: Secret) -> None:
    assert secret.ask("/v1/certificates?subject=api:spy").json["certificates"] == []
    (gina,) = secret.service.http("GET", "/v1/certificates", as_="gina").json["certificates"]
    assert gina["customer"] == "globex"


@pytest.mark.parametrize(
    "command",
    [("cert", "list"), ("access", "who"), ("access", "who", "--basis", "policy"), ("host", "list"),
     ("policy", "show")],
    ids=" ".join,
)  # fmt: skip
def test_command_line_shows_acme_s_auditor_the_same(secret: Secret, command: tuple[str, ...]) -> None:
    shown = secret.service.cli(*command, "--json").stdout
    assert "acme" in shown
    assert [mark for mark in MARKS if mark in shown] == []


def test_command_line_finds_nothing_of_globex_by_name(secret: Secret, tmp_path: Path) -> None:
    (tmp_path / "id-cert.pub").write_text(secret.certificate + "\n")
    for command in (
        ("cert", "show", secret.serial),
        ("ledger", "proof", secret.serial),
        ("host", "show", "safe.globex.example"),
        ("host", "sshd", "safe.globex.example"),
        ("access", "who", "--host", "safe.globex.example"),
        ("cert", "inspect", tmp_path / "id-cert.pub"),
        ("alarm", "list"),
        ("credential", "list"),
        ("policy", "plan", secret.service.scratch / "policy.toml"),
    ):
        done: subprocess.CompletedProcess[str] = secret.service.cli(*command, check=False)
        assert done.returncode == 1, command
        assert "gina" not in done.stdout + done.stderr


def test_plan_is_for_those_of_all_customers_and_applying_says_no_more(secret: Secret, tmp_path: Path) -> None:
    text = (secret.service.scratch / "policy.toml").read_text().replace('as = ["keeper"]', 'as = ["other"]')
    (tmp_path / "policy.toml").write_text(text)
    for json_ in ((), ("--json",)):
        refused = secret.service.cli("policy", "plan", tmp_path / "policy.toml", *json_, check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "this is for those who see all customers" in refused.stderr
    body = {"files": [{"name": "policy.toml", "text": text}]}
    assert secret.ask("/v1/policy/plan", body).slug == "policy-denied"
    signed = ("policy", "apply", tmp_path / "policy.toml", "--sign-only", tmp_path / "order")
    said = secret.service.order(*signed).stderr
    assert "what this changes is not known beforehand: this is for those who see all customers" in said
    assert "access that changes" not in said


def test_operator_of_some_customers_is_an_auditor_and_of_customers_that_there_are(
    secret: Secret, tmp_path: Path
) -> None:
    text = (secret.service.scratch / "policy.toml").read_text()
    for old, new, said in (
        ('customers = ["acme"]', 'customers = ["initech"]', "customers[0]: there is no customer 'initech'"),
        ('roles = ["auditor"]\ncustomers', 'roles = ["auditor", "operator"]\ncustomers', "alone"),
    ):
        (tmp_path / "p.toml").write_text(text.replace(old, new))
        assert said in secret.service.cli("policy", "check", tmp_path / "p.toml", check=False).stderr
    listed = json.loads(secret.service.cli("operator", "list", "--json").stdout)["operators"]
    found: dict[str, Any] = next(each for each in listed if each["name"] == "acme-auditor")
    assert found["customers"] == ["acme"]
