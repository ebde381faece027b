"""A certificate authority from nothing to a login, with the real parts, on loopback ports.

Makes a data directory, starts the service, asks it over HTTPS for a user and a host certificate, starts an
sshd that trusts nothing but the two CAs, logs in, shows four logins that are refused and sshd's own words for
each, asks who can log in there, and verifies the ledger offline.
"""

from __future__ import annotations

import argparse
import getpass
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

CHANCERY: Final = str(Path(sys.executable).with_name("chancery"))
SSHD: Final = "/usr/sbin/sshd"
ORIGIN: Final = "ca.example.org"
HOST: Final = "web-1.acme.example"
# Of a data directory that is kept: an operator's key belongs on his own machine, as this one would.
OPERATOR_KEY: Final = "demo-operator/carol"
DEADLINE_S: Final = 30

POLICY: Final = """\
version = 1

[[customer]]
name = "acme"
user_ca = "acme-users"
host_ca = "acme-hosts"

[[host_group]]
name = "acme-web"
customer = "acme"
match = {{ role = "web" }}

[[host_group]]
name = "acme-db"
customer = "acme"
match = {{ role = "db" }}

[[grant]]
name = "deploy"
who = {{ users = ["api:alice"] }}
on = ["acme-web"]
as = ["{login}"]
ttl = "1h"

[[grant]]
name = "dba"
who = {{ users = ["api:alice"] }}
on = ["acme-db"]
as = ["postgres"]
ttl = "30m"

[[operator]]
name = "carol"
keys = ["{key}"]
identities = ["local:{user}", "api:enroller"]
roles = ["admin", "auditor", "enroller", "operator"]
"""


class DemoFailed(Exception):
    """Something that the demonstration is about did not happen."""


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", metavar="DIR", type=Path, help="leave the data directory there")
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="chancery-demo-") as directory:
            scratch = Path(directory)
            scratch.chmod(0o755)
            demo = Demo(data=(arguments.keep or scratch / "data").absolute(), scratch=scratch)
            demo.run()
            if arguments.keep:
                demo.keep_key()
    except DemoFailed as error:
        sys.exit(f"\nThe demonstration failed: {error}")
    print(f"\nDone in {time.monotonic() - began:.0f} s.")
    if arguments.keep:
        print(f"The data directory is {arguments.keep}, the service is stopped. Run it again, and order:")
        print(f"  .venv/bin/chancery --data {arguments.keep} serve")
        print(f"  .venv/bin/chancery --data {arguments.keep} credential create alice --kind user \\")
        print(f"      --operator carol --key {arguments.keep}/{OPERATOR_KEY}")
    else:
        print(
            "Everything was removed; scripts/demo --keep DIR leaves the data directory. To run it for real:"
        )
        print(f"  .venv/bin/chancery init --origin {ORIGIN} --operator you --key ~/.ssh/id_ed25519")
        print("  .venv/bin/chancery serve")
    print("README.md goes on from there.")


class Demo:
    """The steps, in order."""

    def __init__(self, *, data: Path, scratch: Path, patience_s: float = DEADLINE_S) -> None:
        self.data = data
        self.scratch = scratch
        self._patience_s = patience_s
        self.login = getpass.getuser()
        self.port = free_port()
        self.health = free_port()
        self.sshd_port = free_port()

    def run(self) -> None:
        """Run every step; whatever was started is stopped in any case."""
        self.make_data_directory()
        with self.service():
            self.register()
            self.certify()
            with self.sshd():
                self.log_in()
                self.refuse()
                self.show_access()
        self.verify()

    def make_data_directory(self) -> None:
        """Make an operator's key and a policy, and run `chancery init`."""
        step("Making token, CAs, ledger and the first policy (chancery init)")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "carol", "-f", self.path("carol"))
        public = self.path("carol.pub").read_text().split()
        policy = self.path("policy.toml")
        key = " ".join(public[:2])
        policy.write_text(POLICY.format(login=self.login, user=self.login, key=key))
        self.chancery(
            "init", "--single-user", "--origin", ORIGIN, "--policy", policy, *self.order(),
            "--listen", f"127.0.0.1:{self.port}", "--health", f"127.0.0.1:{self.health}",
        )  # fmt: skip

    @contextmanager
    def service(self) -> Iterator[None]:
        """Run `chancery serve` until the context ends."""
        step("Starting authority, index and web tier (chancery serve)")
        with self.path("serve.log").open("wb") as log:
            process = subprocess.Popen(
                [CHANCERY, "--data", self.data, "serve"], stderr=log, stdout=log, stdin=subprocess.DEVNULL
            )
        try:
            self.await_ready(process)
            yield
        finally:
            process.terminate()
            process.wait(60)

    def await_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the service says that a certificate could be issued."""
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/readyz", timeout=5) as reply:
                    say(f"ready: {json.load(reply)}")
                    return
            except OSError:
                time.sleep(0.05)
        raise DemoFailed(f"the service did not become ready:\n{self.path('serve.log').read_text()}")

    def await_index(self) -> None:
        """Wait until the index covers all of the ledger, which takes a while when it is large and new."""
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/metrics", timeout=30) as reply:
                metrics = reply.read().decode()
            if "\nchancery_index_lag_entries 0.0\n" in metrics:
                return
            time.sleep(0.5)
        raise DemoFailed("the index did not catch up with the ledger")

    def register(self) -> None:
        """Order a host and two API credentials; each order is signed with the operator's SSH key."""
        step("Ordering a host and two API credentials, signed by the operator")
        self.chancery("host", "add", HOST, "--customer", "acme", "--label", "role=web", *self.order())
        self.alice = self.chancery("credential", "create", "alice", "--kind", "user", *self.order()).strip()
        self.enroller = self.chancery("credential", "create", "enroller", *self.order()).strip()

    def certify(self) -> None:
        """Ask over HTTPS for a host certificate and a user certificate."""
        step("Asking for certificates over HTTPS")
        for name in ("host", "alice_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.path(name))
        body = {"public_key": self.path("host.pub").read_text(), "host": HOST}
        self.write_certificate("host", self.post("/v1/certificates/host", self.enroller, body))
        self.certify_alice("alice", host_groups=["acme-web"])
        for line in run("ssh-keygen", "-L", "-f", self.path("alice-cert.pub")).splitlines()[1:9]:
            print(f"    {line.strip()}")

    def certify_alice(self, name: str, **wishes: Any) -> None:
        """Ask for a certificate of alice's key and keep it under a name."""
        body = {"public_key": self.path("alice_key.pub").read_text(), **wishes}
        self.write_certificate(name, self.post("/v1/certificates/user", self.alice, body))

    def write_certificate(self, name: str, reply: Any) -> None:
        """Write the one certificate of a reply."""
        (issued,) = reply["certificates"]
        self.path(f"{name}-cert.pub").write_text(issued["certificate"] + "\n")
        say(f"{', '.join(issued['principals'])}: serial {issued['serial']}, until {issued['valid_before']}")

    @contextmanager
    def sshd(self) -> Iterator[None]:
        """Run an sshd that trusts the two CAs and nothing else."""
        step(f"Starting a real sshd on port {self.sshd_port} that trusts only these CAs")
        self.path("trusted_user_cas").write_text(self.chancery("ca", "export", "acme-users"))
        self.path("known_hosts").write_text(self.chancery("ca", "export", "acme-hosts", "--known-hosts"))
        self.path("principals").write_text(f"{self.login}@acme-web\n")
        configuration = {
            "Port": self.sshd_port, "ListenAddress": "127.0.0.1", "PidFile": "none", "LogLevel": "VERBOSE",
            "HostKey": self.path("host"), "HostCertificate": self.path("host-cert.pub"),
            "TrustedUserCAKeys": self.path("trusted_user_cas"),
            "AuthorizedPrincipalsFile": self.path("principals"), "AuthorizedKeysFile": "none",
            "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no", "UsePAM": "no",
            # These files lie below /tmp, which is world-writable; on a server they lie in /etc/ssh.
            "StrictModes": "no",
        }  # fmt: skip
        config, log = self.path("sshd_config"), self.path("sshd.log")
        config.write_text("".join(f"{name} {value}\n" for name, value in configuration.items()))
        Path("/run/sshd").mkdir(exist_ok=True)
        # From 9.8 on sshd drops connections of an address that was refused a few times, as we will be.
        known = "persourcepenalties" in run(SSHD, "-T", "-f", config)
        options = ["-o", "PerSourcePenalties=no"] if known else []
        process = subprocess.Popen([SSHD, "-D", "-f", config, "-E", log, *options], stdin=subprocess.DEVNULL)
        try:
            await_port(self.sshd_port)
            yield
        finally:
            process.terminate()
            process.wait(10)

    def log_in(self) -> None:
        """Log in with the certificate."""
        step("Logging in with the certificate")
        done, line = self.ssh("alice")
        if done.returncode != 0:
            raise DemoFailed(f"no login: {done.stderr}{line}")
        say(f"ssh says:  {done.stdout.strip()}")
        say(f"sshd says: {line}")

    def refuse(self) -> None:
        """Show that what should not get in does not, by sshd's own log."""
        step("Four logins that must be refused")
        self.certify_alice("principal", host_groups=["acme-db"])
        self.certify_alice("source", host_groups=["acme-web"], source=["192.0.2.0/24"])
        self.certify_alice("expired", host_groups=["acme-web"], ttl="1s")
        time.sleep(2)
        for name, what, words in (
            ("principal", "another principal", "does not contain an authorized principal"),
            ("expired", "expired", "Certificate invalid: expired"),
            ("source", "another source address", "not from a permitted source address"),
            (None, "no certificate", "Failed publickey"),
        ):
            done, line = self.ssh(name, words)
            if done.returncode == 0:
                raise DemoFailed(f"a login with {what} got in")
            say(f"{what}: refused. sshd says: {line}")

    def ssh(self, certificate: str | None, words: str = "Accepted publickey") -> tuple[Any, str]:
        """Try to log in; return what ssh did and the line of sshd's log that has the words."""
        log = self.path("sshd.log")
        mark = log.stat().st_size
        options = {
            "IdentitiesOnly": "yes", "BatchMode": "yes", "HostKeyAlias": HOST,
            "UserKnownHostsFile": self.path("known_hosts"), "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes", "ConnectTimeout": "10",
        }  # fmt: skip
        if certificate is not None:
            options["CertificateFile"] = self.path(f"{certificate}-cert.pub")
        command = ["ssh", "-F", "none", "-n", "-p", str(self.sshd_port), "-i", str(self.path("alice_key"))]
        command += [f"-o{name}={value}" for name, value in options.items()]
        done = subprocess.run(
            [*command, f"{self.login}@127.0.0.1", "echo logged in as $(id -un)"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done, find_line(log, mark, words)

    def show_access(self) -> None:
        """Ask who can log in on the host."""
        step(f"Who can log in on {HOST}? (chancery access who)")
        print(indent(self.chancery("access", "who", "--host", HOST)))

    def verify(self) -> None:
        """Verify the ledger: no service, no token, no PIN."""
        step("Service stopped. Verifying the ledger offline (chancery ledger verify)")
        print(indent(self.chancery("ledger", "verify")))

    def keep_key(self) -> None:
        """Keep the operator's key: without it nothing more could be ordered in the directory."""
        kept = self.data / OPERATOR_KEY
        kept.parent.mkdir(mode=0o700)
        for name in ("carol", "carol.pub"):
            shutil.copy(self.path(name), kept.with_name(name))

    def post(self, path: str, credential: str, body: dict[str, Any]) -> Any:
        """Post JSON to the service over TLS and return the JSON of the reply."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {credential}", "Content-Type": "application/json"},
        )
        trust = ssl.create_default_context(cafile=str(self.data / "tls" / "server.pem"))
        try:
            with urllib.request.urlopen(request, context=trust, timeout=30) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise DemoFailed(f"{path}: {error.read().decode()}") from error

    def chancery(self, *arguments: object) -> str:
        """Run the command line on the data directory."""
        return run(CHANCERY, "--data", self.data, *arguments)

    def order(self) -> Sequence[object]:
        """Return the options of an order by the operator."""
        return "--operator", "carol", "--key", self.path("carol")

    def path(self, name: str) -> Path:
        """Return a file of the demonstration's own."""
        return self.scratch / name


def run(*command: object) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise DemoFailed(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def find_line(log: Path, mark: int, words: str) -> str:
    """Wait for a line with these words in what was logged after ``mark``."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for line in log.read_bytes()[mark:].decode(errors="replace").splitlines():
            if words in line:
                return line
        time.sleep(0.02)
    raise DemoFailed(f"sshd did not log {words!r} but:\n{log.read_bytes()[mark:].decode(errors='replace')}")


def await_port(port: int) -> None:
    """Wait until something listens on the port."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise DemoFailed(f"nothing listens on port {port}")


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def step(text: str) -> None:
    """Begin a step."""
    print(f"\n== {text}", flush=True)


def say(text: str) -> None:
    """Print a line of a step."""
    print(f"    {text}", flush=True)


def indent(text: str) -> str:
    """Indent lines."""
    return "".join(f"    {line}\n" for line in text.splitlines()).rstrip("\n")


if __name__ == "__main__":
    main()
