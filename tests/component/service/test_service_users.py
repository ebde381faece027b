"""Three users: whoever breaks into one process finds the doors to the others closed. Found out by trying."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import pytest

from support import intruder
from support.directory import PASSWORD, running_directory
from support.load import BODY
from support.service import CHANCERY, HOST, Service, make_service

AUTHORITY, INDEX, WEB = "chancery-authority", "chancery-index", "chancery-web"
SECRETS = ("token", "token/pin", "token/so-pin")
LEDGER = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock")
DERIVED = ("index/index.db", "index/index.db-wal", "index/tiles/checkpoint")
CONFIGURED = ("chancery.toml", "tls/server.pem", "ledger.vkey", "policy.toml")
INVASIONS = ("memory", "environment", "open_files", "trace", "copy_memory", "take_file")


@dataclass(frozen=True, slots=True)
class Shared:
    """The service under its three users, and somebody who has become one of them."""

    service: Service

    def path(self, name: str) -> str:
        return str(self.service.data / name)

    def pid(self, part: str) -> str:
        return str(min(self.service.pids(part)))

    def try_as(self, user: str, *attempts: tuple[str, str]) -> dict[tuple[str, str], str]:
        """Return what came of each attempt of a process with that user's uid and groups, and no others."""
        account = pwd.getpwnam(user)
        done = subprocess.run(
            [os.path.realpath(sys.executable), "-I", "-"],
            input=Path(intruder.__file__).read_text().replace("sys.stdin", repr_stream(attempts)),
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=(),
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        return dict(zip(attempts, json.loads(done.stdout), strict=True))

    def ask(self, socket: str, op: str, args: Mapping[str, Any]) -> tuple[str, str]:
        """Return the attempt to ask the authority at a socket."""
        message = msgpack.packb({"id": 1, "op": op, "args": dict(args)})
        return "ask", f"{self.path(socket)}|{message.hex()}"


def repr_stream(attempts: tuple[tuple[str, str], ...]) -> str:
    return f"__import__('io').StringIO({json.dumps(attempts)!r})"


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    assert os.geteuid() == 0, "this needs root, as `chancery serve` does for its three users"
    # Not below pytest's own directory, which is for one user only.
    scratch = Path(tempfile.mkdtemp(prefix="chancery-users-"))
    scratch.chmod(0o755)
    try:
        service = make_service(scratch, single_user=False)
        with with_directory(service, scratch), service.running():
            service.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
            assert service.issue(BODY)
            service.settled("/v1/certificates", "alice")
            yield Shared(service)
    finally:
        shutil.rmtree(scratch)


@contextmanager
def with_directory(service: Service, scratch: Path) -> Iterator[None]:
    """Have people log in at a directory; the service's password for it is the web tier's file."""
    (scratch / "slapd").mkdir()
    with running_directory(scratch / "slapd") as directory:
        secret = service.data / "ldap.password"
        shutil.copy(directory.password_file, secret)
        shutil.chown(secret, WEB, WEB)
        config = service.data / "chancery.toml"
        tables, head, users = config.read_text().rpartition("\n[users]")
        config.write_text(tables + directory.settings(password="file:ldap.password") + head + users)
        yield


def fails(outcomes: Mapping[tuple[str, str], str]) -> None:
    """Check that each attempt failed because it was not permitted, and not for a reason of its own."""
    assert outcomes
    assert not {attempt: said for attempt, said in outcomes.items() if not said.startswith("PermissionError")}


@pytest.mark.parametrize("user", [WEB, INDEX])
def test_pin_token_and_ledger_are_closed_to_web_and_index(shared: Shared, user: str) -> None:
    objects = [each for each in Path(shared.path("token")).rglob("*") if each.is_file()]
    assert len(objects) > 4
    paths = [*map(shared.path, (*SECRETS[1:], *LEDGER)), *map(str, objects)]
    fails(shared.try_as(user, ("listing", shared.path("token")), *(("read", path) for path in paths)))
    fails(shared.try_as(user, *(("write", path) for path in paths)))


@pytest.mark.parametrize(
    ("user", "victim"),
    [(WEB, "authority"), (WEB, "index"), (INDEX, "authority"), (INDEX, "web"), (AUTHORITY, "web")],
)
def test_memory_environment_and_signals_of_another_user_s_process_are_closed(
    shared: Shared, user: str, victim: str
) -> None:
    pid = shared.pid(victim)
    fails(shared.try_as(user, *((each, pid) for each in (*INVASIONS, "send_signal"))))


def test_alarms_are_brought_by_the_index_and_counted_by_the_web_tier(shared: Shared) -> None:
    path = Path(shared.path("index/alarms.json"))
    assert (path.owner(), stat.S_IMODE(path.stat().st_mode)) == (INDEX, 0o640)
    text = shared.service.probe("/metrics").body.decode()
    assert 'chancery_alarms_waiting{way="log"} 0.0' in text
    fails(shared.try_as(WEB, ("write", str(path))))


@pytest.mark.parametrize("user", [WEB, INDEX])
def test_admin_socket_is_closed_by_the_uid_of_who_connects(shared: Shared, user: str) -> None:
    ask = [shared.ask("run/admin.sock", op, {}) for op in ("context", "status", "certificate.user")]
    fails(shared.try_as(user, *ask))
    assert f"refused a connection by uid {pwd.getpwnam(user).pw_uid}" in shared.service.log


def test_any_other_local_user_asks_as_himself_and_what_he_may_the_policy_says(shared: Shared) -> None:
    begins, ends = "2027-03-01T00:00:00Z", "2027-03-02T00:00:00Z"
    command = [CHANCERY, "--data", str(shared.service.data), "leave", "book"]

    def book(person: str) -> subprocess.CompletedProcess[str]:
        asked = [*command, person, begins, ends, "--json"]
        return subprocess.run(asked, user="nobody", capture_output=True, text=True, check=False, cwd="/")

    own = book("local:nobody")
    assert own.returncode == 0, own.stderr
    entry = json.loads(shared.service.entry(json.loads(own.stdout)["leave"]))
    assert (entry["data"]["by"]["provider"], entry["data"]["by"]["subject"]) == ("local", "nobody")
    other = book("local:root")
    assert other.returncode == 1
    assert "local:nobody has not the role admin or operator" in other.stderr
    lock = shared.ask("run/admin.sock", "lock.place", {"body": {"identity": "local:root", "reason": "x"}})
    fails(shared.try_as("nobody", lock))


def test_local_user_comes_to_no_secret_and_to_nothing_that_is_not_his(shared: Shared) -> None:
    objects = [str(each) for each in Path(shared.path("token")).rglob("*") if each.is_file()]
    paths = [*map(shared.path, (*SECRETS[1:], *LEDGER, *DERIVED, "tls/server.key")), *objects]
    fails(shared.try_as("nobody", *(("read", path) for path in paths)))
    asked = {"start": 0, "wait_s": 0, "identity": {}}
    admin = [shared.ask("run/admin.sock", op, asked) for op in ("entries", "status", "cas", "probe")]
    fails(shared.try_as("nobody", *admin, shared.ask("run/authority.sock", "context", {})))
    sockets = [shared.path(f"run/{name}.sock") for name in ("authority", "admin")]
    fails(shared.try_as("nobody", *(("remove", path) for path in sockets), ("make", shared.path("run/new"))))


@pytest.mark.parametrize("user", [AUTHORITY, INDEX, WEB])
def test_memory_of_a_process_is_closed_even_to_its_own_user(shared: Shared, user: str) -> None:
    pid = shared.pid(user.removeprefix("chancery-"))
    fails(shared.try_as(user, *((each, pid) for each in INVASIONS)))


def test_web_tier_can_write_neither_index_nor_tiles(shared: Shared) -> None:
    tried = shared.try_as(
        WEB,
        *(("write", shared.path(name)) for name in DERIVED),
        *(("remove", shared.path(name)) for name in DERIVED),
        *(("make", shared.path(f"{name}/new")) for name in ("index", "index/tiles", "index/tiles/tile")),
    )
    fails(tried)


@pytest.mark.parametrize("user", [AUTHORITY, INDEX, WEB])
def test_configuration_is_root_s_alone(shared: Shared, user: str) -> None:
    paths = [shared.path(name) for name in CONFIGURED]
    attempts = [(act, path) for path in paths for act in ("write", "remove", "rename")]
    fails(shared.try_as(user, *attempts, ("make", shared.path("tls/clients.pem"))))


@pytest.mark.parametrize("user", [INDEX, WEB])
def test_sockets_cannot_be_taken_away_or_made_by_others(shared: Shared, user: str) -> None:
    sockets = [shared.path(f"run/{name}.sock") for name in ("authority", "admin")]
    attempts = [(act, path) for path in sockets for act in ("remove", "rename")]
    fails(shared.try_as(user, *attempts, ("make", shared.path("run/new")), ("make", shared.path("new"))))


def test_tls_key_is_the_web_tier_s_alone(shared: Shared) -> None:
    key = ("read", shared.path("tls/server.key"))
    fails(shared.try_as(INDEX, key))
    fails(shared.try_as(AUTHORITY, key))
    assert shared.try_as(WEB, key) == {key: "ok"}


def test_password_of_a_directory_is_the_web_tier_s_alone_and_people_can_log_in(shared: Shared) -> None:
    secret = ("read", shared.path("ldap.password"))
    fails(shared.try_as(INDEX, secret))
    fails(shared.try_as(AUTHORITY, secret))
    body = {"provider": "ldap", "username": "ada", "password": PASSWORD}
    reply = shared.service.http("POST", "/v1/sessions", body)
    assert reply.status == 201, reply.body
    known = shared.service.http("GET", "/v1/whoami", credential=reply.json["credential"])
    assert known.json["groups"] == ["ldap:dba", "ldap:engineers", "ldap:staff"]


def test_index_may_read_at_the_authority_s_socket_and_speak_for_nobody(shared: Shared) -> None:
    identity = {
        "provider": "api", "subject": "alice", "kind": "user", "groups": [], "claims": [], "mfa": False,
        "authenticated_ms": 0,
    }  # fmt: skip
    issue = shared.ask("run/authority.sock", "certificate.user", {"identity": identity, "body": BODY})
    entries = shared.ask("run/authority.sock", "entries", {"start": 0, "wait_s": 0})
    assert shared.try_as(INDEX, entries) == {entries: "ok"}
    fails(shared.try_as(INDEX, issue))


@pytest.mark.parametrize("part", ["authority", "index", "web"])
def test_no_secret_is_in_arguments_or_environment(shared: Shared, part: str) -> None:
    pins = [Path(shared.path(name)).read_bytes().strip() for name in SECRETS[1:]]
    key = Path(shared.path("tls/server.key")).read_bytes().splitlines()[1]
    for pid in shared.service.pids(part):
        for name in ("cmdline", "environ"):
            content = Path(f"/proc/{pid}/{name}").read_bytes()
            assert content
            assert not [secret for secret in (*pins, key) if secret in content]


@pytest.mark.parametrize("part", ["authority", "index", "web"])
def test_process_leaves_no_core_and_gains_no_rights(shared: Shared, part: str) -> None:
    for pid in shared.service.pids(part):
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert status["NoNewPrivs"] == "1"
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
        assert status["Groups"].split() in ([], [str(pwd.getpwnam(f"chancery-{part}").pw_gid)])
        (core,) = (line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core" in line)
        assert core.split()[4:6] == ["0", "0"]
        assert Path(f"/proc/{pid}/mem").stat().st_uid == 0, "it can be dumped"


def test_service_opens_no_socket_but_its_own(shared: Shared) -> None:
    """Gunicorn would have a control socket, in a place of its own choice."""
    inodes = {
        link.removeprefix("socket:[").removesuffix("]")
        for part in ("authority", "index", "web")
        for pid in shared.service.pids(part)
        for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        if (link := str(descriptor.readlink())).startswith("socket:")
    }
    bound = {
        fields[7]
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]
        if len(fields := line.split()) > 7 and fields[6] in inodes
    }
    assert bound == {shared.path("run/authority.sock"), shared.path("run/admin.sock")}
    listening = {
        int(fields[1].rpartition(":")[2], 16)
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if (fields := line.split())[3] == "0A" and fields[9] in inodes
    }
    assert listening == {shared.service.port, shared.service.health}
