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


def certify(directory: Path, key: Ed25519PrivateKey) -> bytes:
    """Have ssh-keygen certify a key."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "ca"], check=True)
    (directory / "id.pub").write_text(format_public_key_line(from_cryptography(key.public_key())) + "\n")
    command: list[str | Path] = ["ssh-keygen", "-q", "-s", directory / "ca", "-I", "test", "-n", "root"]
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


def test_agent_is_emptied_of_what_login_put_there_and_of_nothing_else(path: Path, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    certificate = certify(tmp_path, key)
    environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
    subprocess.run(["ssh-add", "-q", tmp_path / "ca"], env=environment, check=True)
    with connected(str(path)) as agent:
        agent.add_certificate(key, certificate, f"{COMMENT}https://ca.example.org", 60)
        assert len(agent.held()) == 2
        assert empty(agent) == 1
        assert len(agent.held()) == 1
        assert empty(agent) == 0


def test_agent_that_does_not_take_a_key_is_an_error(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    with connected(str(path)) as agent, pytest.raises(ConfigError, match="does not take"):
        agent.add_certificate(key, b"no certificate", "chancery here", 60)


@pytest.mark.parametrize("where", [None, "", "/nonexistent/agent"])
def test_agent_that_is_not_there_is_said_with_what_to_do(where: str | None) -> None:
    with pytest.raises(ConfigError, match="ssh-agent"), connected(where):
        pass


@pytest.mark.parametrize("answer", [b"", b"\0\0\0\x02\x0c", b"\xff\xff\xff\xff", b"\0\0\0\x01\x05"])
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
