"""The ssh-agent protocol against OpenSSH's agent: what is added, for how long, and what is removed."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.client.agent import Agent, connected
from appliance.client.filling import COMMENT, empty
from appliance.errors import ConfigError
from appliance.ssh.keys import format_public_key_line, from_cryptography
from appliance.ssh.line import parse_line
from support.agent import running_agent
from support.tokens import eventually


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with running_agent(tmp_path) as running:
        yield running


def certify(directory: Path, key: Ed25519PrivateKey, key_id: str = "oidc:ada#1.7") -> bytes:
    """Have ssh-keygen certify a key."""
    if not (directory / "ca").exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "ca"], check=True)
    (directory / "id.pub").write_text(format_public_key_line(from_cryptography(key.public_key())) + "\n")
    command: list[str | Path] = ["ssh-keygen", "-q", "-s", directory / "ca", "-I", key_id, "-n", "root"]
    subprocess.run([*command, directory / "id.pub"], check=True)
    line = (directory / "id-cert.pub").read_text()
    return parse_line(line.strip(), what="certificate", limit=65_536)[1]


def list_keys(path: Path) -> str:
    environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
    done = subprocess.run(["ssh-add", "-l"], env=environment, capture_output=True, text=True, check=False)
    return done.stdout


def test_certificate_is_held_until_its_lifetime_is_over(path: Path, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    certificate = certify(tmp_path, key)
    with connected(str(path)) as agent:
        agent.add_certificate(key, certificate, "chancery here", 2)
        assert [(each.blob, each.comment) for each in agent.held()] == [(certificate, "chancery here")]
        assert "chancery here (ED25519-CERT)" in list_keys(path)
        eventually(lambda: agent.held() == [])


def test_agent_is_emptied_of_an_identitys_certificates_and_of_nothing_else(
    path: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
    own = tmp_path / "own"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{COMMENT}server of ours"]
    subprocess.run([*command, "-f", str(own)], check=True)
    subprocess.run(["ssh-add", "-q", own], env=environment, check=True)
    with connected(str(path)) as agent:
        for key_id in ("oidc:ada#1.7", "oidc:ada#2.19", "oidc:adam#1.8", "oidc:ada", "oidc:ada#1.7#x"):
            key = Ed25519PrivateKey.generate()
            agent.add_certificate(key, certify(tmp_path, key, key_id), key_id, 60)
        assert len(agent.held()) == 6
        assert empty(agent, "oidc:ada") == 2
        kept = [f"{COMMENT}server of ours", "oidc:ada", "oidc:ada#1.7#x", "oidc:adam#1.8"]
        assert sorted(each.comment for each in agent.held()) == kept
        assert empty(agent, "oidc:ada") == 0


def test_agent_that_does_not_take_a_key_is_an_error(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    with connected(str(path)) as agent, pytest.raises(ConfigError, match="does not take"):
        agent.add_certificate(key, b"no certificate", "chancery here", 60)


@pytest.mark.parametrize("where", [None, "", "/nonexistent/agent"])
def test_agent_that_is_not_there_is_said_with_what_to_do(where: str | None) -> None:
    with pytest.raises(ConfigError, match="ssh-agent"), connected(where):
        pass


@pytest.mark.parametrize(
    "answer", [b"", b"\0\0\0\x02\x0c", b"\xff\xff\xff\xff", b"\0\0\0\x01\x05", b"\0\0\0\x03\x0c\0\0"]
)
def test_answer_that_is_none_is_an_error_and_not_a_wait(tmp_path: Path, answer: bytes) -> None:
    ours, theirs = socket.socketpair()

    def serve() -> None:
        theirs.recv(1_024)
        theirs.sendall(answer)
        theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with ours, pytest.raises(ConfigError):
        Agent(ours).held()
    thread.join(5)
