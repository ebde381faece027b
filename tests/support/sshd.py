"""A real sshd on a loopback port, for as long as a test needs it, and ssh against it.

Logins are root's (tests run as root) and run ``true``: nothing on the machine changes.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.service import free_port

SSHD: Final = "/usr/sbin/sshd"
_START_DEADLINE_S: Final = 10
_LOG_DEADLINE_S: Final = 5

# StrictModes would refuse every file below a world-writable directory such as /tmp.
# From OpenSSH 9.8 on sshd drops the connections of an address that was refused a few times. No version knows
# every one of these, and one that does not know a keyword does not start.
_WHERE_KNOWN: Final = {"PerSourcePenalties": "no"}
_BASE: Final = {
    "ListenAddress": "127.0.0.1",
    "PidFile": "none",
    "LogLevel": "VERBOSE",
    "StrictModes": "no",
    "UsePAM": "no",
    "PermitRootLogin": "prohibit-password",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "AuthorizedKeysFile": "none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sshd:
    """A running sshd: where it listens, what it logs, and how to know it."""

    port: int
    log: Path
    known_hosts: Path

    def mark(self) -> int:
        """Return the log's present end, for :meth:`logged`."""
        return self.log.stat().st_size

    def logged(self, text: str, *, since: int = 0) -> str:
        """Wait until ``text`` is in the log after ``since``; return the line it is in.

        Raises:
            AssertionError: it did not come, with all that was logged instead.
        """
        deadline = time.monotonic() + _LOG_DEADLINE_S
        while True:
            lines = self.log.read_bytes()[since:].decode(errors="replace").splitlines()
            found = next((line for line in lines if text in line), None)
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"sshd did not log {text!r} but:\n" + "\n".join(lines))
            time.sleep(0.01)

    def login(self, *options: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run ``ssh … user@127.0.0.1 true`` with ``options`` such as ``-i key``; exit status 0 is a login."""
        fixed = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "PreferredAuthentications": "publickey",
            "StrictHostKeyChecking": "yes",
            "GlobalKnownHostsFile": "none",
            "UserKnownHostsFile": str(self.known_hosts),
        }
        command = ["ssh", "-F", "none", "-n", "-T", "-p", str(self.port)]
        command += [*options, *(f"-o{name}={value}" for name, value in fixed.items())]  # the first one counts
        return subprocess.run(
            [*command, f"{user}@127.0.0.1", "true"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@contextmanager
def running_sshd(directory: Path, config: Mapping[str, str | Sequence[str]]) -> Iterator[Sshd]:
    """Run an sshd with its files in ``directory``; ``config`` adds to or replaces its configuration lines.

    A sequence as a value gives that keyword several times. The host key is ``ssh_host_ed25519_key`` there,
    made unless it exists already, for instance because a certificate had to be made for it.
    """
    Path("/run/sshd").mkdir(exist_ok=True)  # where its unprivileged half is locked up
    port = free_port()
    host_key = directory / "ssh_host_ed25519_key"
    if not host_key.exists():
        make_host_key(host_key)
    known_hosts = directory / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
    configuration = directory / "sshd_config"
    base = {"Port": str(port), "HostKey": str(host_key), **_BASE}
    configuration.write_text(_render(base | _known(base, configuration) | dict(config)))
    log = directory / "sshd.log"
    process = subprocess.Popen([SSHD, "-D", "-f", configuration, "-E", log])
    try:
        _wait_until_listening(process, port, log)
        yield Sshd(port=port, log=log, known_hosts=known_hosts)
    finally:
        process.terminate()
        process.wait(timeout=10)


def make_host_key(path: Path) -> None:
    """Make an Ed25519 host key, and its public key beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)


def _known(base: Mapping[str, str], configuration: Path) -> dict[str, str]:
    """Return those of :data:`_WHERE_KNOWN` that this sshd knows, by its own word."""
    configuration.write_text(_render(base))
    done = subprocess.run([SSHD, "-T", "-f", configuration], capture_output=True, text=True, check=True)
    keywords = {line.split(" ", 1)[0] for line in done.stdout.splitlines()}
    return {name: value for name, value in _WHERE_KNOWN.items() if name.lower() in keywords}


def _render(config: Mapping[str, str | Sequence[str]]) -> str:
    lines = []
    for name, value in config.items():
        lines += [f"{name} {each}\n" for each in ([value] if isinstance(value, str) else value)]
    return "".join(lines)


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    written = log.read_text() if log.exists() else "nothing"
    raise AssertionError(f"sshd does not listen on port {port}; it logged:\n{written}")
