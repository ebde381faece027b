"""A real Samba AD DC on loopback. Its ports are fixed, so that all that needs it is in one file of tests."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.clock import now_s
from appliance.setup.tls import make_server_certificate

REALM: Final = "AD.EXAMPLE.ORG"
BASE: Final = "DC=ad,DC=example,DC=org"
USERS: Final = f"CN=Users,{BASE}"
ADMINISTRATOR: Final = "Adm1nistrator!"
PASSWORD: Final = "C0rrect-horse"
_DEADLINE_S: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveDirectory:
    """A running domain controller."""

    config: Path
    ca: Path
    password_file: Path
    url: str = "ldaps://127.0.0.1"

    def tool(self, *arguments: str) -> None:
        """Run samba-tool on its database."""
        command = ["samba-tool", *arguments, "-s", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def settings(self, **more: object) -> str:
        """Return its table for chancery.toml."""
        fields = {
            "name": "ad",
            "type": "active-directory",
            "url": self.url,
            "ca": str(self.ca),
            "bind_dn": f"CN=chancery,{USERS}",
            "password": f"file:{self.password_file}",
            "base": BASE,
        } | more
        lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
        return "\n".join(["", "[[identity.ldap]]", *lines, ""])


@contextmanager
def running_domain(directory: Path) -> Iterator[ActiveDirectory]:
    """Provision a domain, with its service account, and run its controller."""
    certificate, key = directory / "tls.pem", directory / "tls.key"
    made_key, made = make_server_certificate(("127.0.0.1",), now_s())
    certificate.write_bytes(made)
    key.touch(0o600)  # for its owner alone, or samba does not take it
    key.write_bytes(made_key)
    command = [
        *("samba-tool", "domain", "provision", f"--realm={REALM}", "--domain=EXAMPLE", "--host-name=dc1"),
        *("--server-role=dc", "--dns-backend=NONE", f"--adminpass={ADMINISTRATOR}"),
        *(f"--targetdir={directory}", "--host-ip=127.0.0.1"),
        *("--option=interfaces=lo", "--option=bind interfaces only=yes"),
        *("--option=server services=ldap, kdc", "--option=tls enabled=yes"),
        # Its own would be of RSA keys of 4 096 bits, which take it seconds to make.
        *(f"--option=tls certfile={certificate}", f"--option=tls keyfile={key}", "--option=tls cafile="),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    secret = directory / "service.password"
    secret.touch(0o600)
    secret.write_text(f"{PASSWORD}\n")
    domain = ActiveDirectory(
        config=directory / "etc" / "smb.conf",
        ca=certificate,
        password_file=secret,
    )
    domain.tool("user", "create", "chancery", PASSWORD)
    with (directory / "samba.log").open("wb") as log:
        process = subprocess.Popen(
            ["samba", "-F", "--no-process-group", "-M", "single", "-s", domain.config], stdout=log, stderr=log
        )
    try:
        _await(process, domain, directory / "samba.log")
        yield domain
    finally:
        process.terminate()
        process.wait(20)


def _await(process: subprocess.Popen[bytes], domain: ActiveDirectory, log: Path) -> None:
    """Wait for LDAP over TLS, whose keys are made when it first starts."""
    deadline = time.monotonic() + _DEADLINE_S
    environment = {"LDAPTLS_CACERT": str(domain.ca), "PATH": "/usr/bin:/bin"}
    probe = ["ldapsearch", "-x", "-H", domain.url, "-s", "base", "-b", "", "dnsHostName"]
    while True:
        done = subprocess.run(probe, capture_output=True, text=True, check=False, env=environment, timeout=30)
        if done.returncode == 0:
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, done.stderr + log.read_text()
        time.sleep(0.1)
