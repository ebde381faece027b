"""The whole service as its users have it: `chancery init`, `chancery serve`, HTTPS, the command line."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from appliance.authority.transport.client import AuthorityClient
from audit.stores.sqlite import SqliteReader
from hsm.softhsm import find_module
from support.shim import Shim

CHANCERY: Final = str(Path(sys.executable).with_name("chancery"))
HOST: Final = "web-1.acme.example"
_DEADLINE_S: Final = 30

POLICY: Final = """\
version = 1
[[customer]]
name = "acme"
user_ca = "acme-users"
host_ca = "acme-hosts"
[[host_group]]
name = "web"
customer = "acme"
match = {{ role = "web" }}
[[host_group]]
name = "db"
customer = "acme"
match = {{ role = "db" }}
[[grant]]
name = "deploy"
who.users = ["api:alice", "api:bob", "mtls:alice", "local:root"]
who.services = ["mtls:spiffe://example.org/ci"]
on = ["web"]
as = ["deploy", "root"]
ttl = "1h"
permit = ["pty"]
[[grant]]
name = "dba"
who = {{ users = ["api:alice"] }}
on = ["db"]
as = ["postgres"]
ttl = "30m"
source = ["10.0.0.0/8", "127.0.0.0/8"]
[[operator]]
name = "carol"
keys = ["{key}"]
identities = ["local:root", "api:carol"]
roles = ["admin", "operator"]
[[operator]]
name = "dave"
identities = ["api:dave"]
roles = ["auditor"]
[[operator]]
name = "erin"
identities = ["api:erin", "local:root"]
roles = ["enroller"]
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def slug(self) -> str:
        """The problem that it is; an answer that is none fails the test."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        problem = self.json
        assert problem["status"] == self.status
        assert problem["instance"].startswith("urn:uuid:")
        slug: str = problem["type"].removeprefix("/problems/")
        return slug


@dataclass(slots=True)
class Service:
    """A data directory and, while it runs, its service."""

    data: Path
    scratch: Path
    port: int
    health: int
    process: subprocess.Popen[bytes] | None = None
    credentials: dict[str, str] = field(default_factory=dict)

    @property
    def operator_key(self) -> Path:
        return self.scratch / "carol"

    @property
    def log(self) -> str:
        path = self.scratch / "serve.log"
        return path.read_text() if path.exists() else ""

    @property
    def log_without_alarms(self) -> str:
        """What the service has said so far, but for what the ledger's entries are an alarm about."""
        return "\n".join(line for line in self.log.splitlines() if '"message": "alarm: ' not in line)

    def cli(
        self, *arguments: object, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        command = [CHANCERY, "--data", str(self.data), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, input=stdin, timeout=60, check=False, cwd=self.scratch
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def order(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command that carol orders."""
        return self.cli(*arguments, "--operator", "carol", "--key", self.operator_key, check=check)

    def credential(self, subject: str, kind: str = "user", **options: object) -> str:
        """Return an API credential of a subject, made when first asked for."""
        if options or subject not in self.credentials:
            more = [item for name, value in options.items() for item in (f"--{name}", value)]
            made = self.order("credential", "create", subject, "--kind", kind, "--json", *more)
            text: str = json.loads(made.stdout)["credential"]
            self.await_credential(text)
            if options:
                return text
            self.credentials[subject] = text
        return self.credentials[subject]

    def await_credential(self, text: str) -> None:
        """Wait until the index, which is behind by a moment, knows a credential."""
        deadline = time.monotonic() + _DEADLINE_S
        while self.http("GET", "/v1/whoami", credential=text).status != 200:
            assert time.monotonic() < deadline, "the credential did not become valid"
            time.sleep(0.02)

    def http(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        as_: str | None = None,
        credential: str | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        client: tuple[Path, Path] | None = None,
    ) -> Reply:
        """Send one request: as a subject with a credential, with a credential, or with a certificate."""
        credential = self.credential(as_) if as_ is not None else credential
        sent = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent["Content-Type"] = "application/json"
        context = ssl.create_default_context(cafile=str(self.data / "tls" / "server.pem"))
        if client is not None:
            context.load_cert_chain(*map(str, client))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=60)
        try:
            connection.request(method, path, body=raw, headers=sent | dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, content)

    def probe(self, path: str) -> Reply:
        """Ask the health socket."""
        connection = http.client.HTTPConnection("127.0.0.1", self.health, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def await_ready(self) -> None:
        """Wait until a certificate could be issued."""
        deadline = time.monotonic() + _DEADLINE_S
        while time.monotonic() < deadline:
            assert self.process is None or self.process.poll() is None, self.log
            try:
                if self.probe("/readyz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the service did not become ready:\n{self.log}")

    def pids(self, part: str) -> list[int]:
        """Return the processes of a part: the web tier has its workers too."""
        found = subprocess.run(
            ["pgrep", "-f", "--", f"--data {self.data} serve {part}$"],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(pid) for pid in found.stdout.split()]

    def kill(self, part: str) -> None:
        """Kill the main process of a part with SIGKILL; wait for it first, if it is about to come back."""
        deadline = time.monotonic() + _DEADLINE_S
        while not (pids := self.pids(part)):
            assert time.monotonic() < deadline, f"{part} does not run:\n{self.log}"
            time.sleep(0.02)
        os.kill(pids[0], signal.SIGKILL)

    @contextmanager
    def running(self, *, ready: bool = True, **environment: str) -> Iterator[Service]:
        """Run `chancery serve`; stop it cleanly at the end, unless the test has ended it."""
        with (self.scratch / "serve.log").open("ab") as log:
            process = subprocess.Popen(
                [CHANCERY, "--data", self.data, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )
        self.process = process
        try:
            if ready:
                self.await_ready()
            yield self
        finally:
            process.terminate()
            process.wait(60)
            self.process = None

    def issue(self, body: Mapping[str, Any], as_: str = "alice", kind: str = "user") -> list[dict[str, Any]]:
        """Ask for certificates that must be issued."""
        reply = self.http("POST", f"/v1/certificates/{kind}", body, as_=as_)
        assert reply.status == 201, reply.body
        certificates: list[dict[str, Any]] = reply.json["certificates"]
        return certificates

    @property
    def size(self) -> int:
        """The entries that are on record now."""
        client = AuthorityClient(self.data / "run" / "admin.sock")
        size: int = client.call("status")["size"]
        client.close()
        return size

    def entry(self, seq: int) -> bytes:
        """Read an entry's bytes from the ledger file."""
        reader = SqliteReader(self.data / "ledger.db")
        try:
            (raw,) = reader.entries(seq, seq + 1)
        finally:
            reader.close()
        return raw

    def settled(self, path: str, as_: str) -> Any:
        """Get what covers everything that is on record now."""
        joiner = "&" if "?" in path else "?"
        reply = self.http("GET", f"{path}{joiner}min_size={self.size}", as_=as_)
        assert reply.status == 200, reply.body
        return reply.json


def make_service(scratch: Path, policy: str = POLICY, *more: object, single_user: bool = True) -> Service:
    """Make a data directory with `chancery init`; without ``single_user``, with its three system users."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "carol", "-f", scratch / "carol"], check=True
    )
    key = " ".join((scratch / "carol.pub").read_text().split()[:2])
    (scratch / "policy.toml").write_text(policy.format(key=key))
    service = Service(data=scratch / "data", scratch=scratch, port=free_port(), health=free_port())
    service.order(
        *("init", "--origin", "ca.example.org", "--policy", scratch / "policy.toml"),
        *(("--single-user",) if single_user else ()),
        *("--listen", f"127.0.0.1:{service.port}", "--health", f"127.0.0.1:{service.health}"),
        *more,
    )
    return service


@contextmanager
def another_web_tier(
    service: Service, *, stderr: int | IO[bytes] = subprocess.PIPE, **environment: str
) -> Iterator[tuple[Service, subprocess.Popen[bytes]]]:
    """Run a second web tier beside the service's own, which its supervisor would start again.

    Its log is in a pipe, which someone has to read, unless it is sent elsewhere.
    """
    other = replace(service, port=free_port(), health=free_port())
    ports = {
        "CHANCERY_SERVICE_LISTEN": f"127.0.0.1:{other.port}",
        "CHANCERY_SERVICE_HEALTH": f"127.0.0.1:{other.health}",
    }
    command = [CHANCERY, "--data", str(service.data), "serve", "web"]
    process = subprocess.Popen(command, env=os.environ | ports | environment, stderr=stderr)
    try:
        yield other, process
    finally:
        process.kill()
        process.communicate()


def make_disturbed_service(scratch: Path, **token: object) -> tuple[Service, Shim]:
    """Make a data directory whose token stands behind the shim; ``token`` overrides its settings."""
    service = make_service(scratch)
    shim = Shim(scratch, find_module())
    path = service.data / "chancery.toml"
    settings = tomllib.loads(path.read_text())["token"] | token
    settings |= {"module": str(shim.module), "environment": shim.environment}
    before, _, after = path.read_text().partition("[token]\n")
    _, bracket, rest = after.partition("\n[")
    path.write_text(f"{before}[token]\n{_format_table(settings)}{bracket}{rest}")
    return service, shim


def _format_table(settings: Mapping[str, object]) -> str:
    inline = {
        name: "{" + ", ".join(f"{key} = {json.dumps(each)}" for key, each in value.items()) + "}"
        if isinstance(value, dict)
        else json.dumps(value)
        for name, value in settings.items()
    }
    return "".join(f"{name} = {value}\n" for name, value in inline.items())


# Not the seed that tests are drawn by: processes side by side would choose alike. Linux gives clients ports
# from 32768 on (ip_local_port_range in ip(7)).
_PORTS: Final = random.SystemRandom()


def free_port() -> int:
    """Return a port that is free now, and that no client's connection will be given meanwhile."""
    while True:
        port = _PORTS.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class ClientCa:
    """A CA for client certificates, as a company has one."""

    def __init__(self, directory: Path, name: str = "clients") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(constraints, critical=True)
            .sign(self._key, SHA256())
        )
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def issue(
        self, file: str, *, names: tuple[str, ...] = (), uris: tuple[str, ...] = (), days: float = 1
    ) -> tuple[Path, Path]:
        """Issue a client certificate; return the files of certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
        builder = self._builder(subject, key.public_key(), days=days)
        if uris:
            alternative = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
            builder = builder.add_extension(alternative, critical=not names)
        paths = self._directory / f"{file}.pem", self._directory / f"{file}.key"
        paths[0].write_bytes(builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        paths[1].write_bytes(pem)
        return paths

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey, *, days: float = 1
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        begin = now - timedelta(days=2)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(now + timedelta(days=days))
        )
