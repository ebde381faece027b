"""A peer of the authority that asks and does not read the replies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from appliance.authority.transport.protocol import FrameReader, Request, encode_frame
from appliance.authority.transport.server import MAX_OF_ONE, MAX_OPEN, Peer, Reply, Server


class Generous:
    """Answers every request with a megabyte."""

    def handle(self, peer: Peer, request: Request, reply: Reply) -> None:
        reply(bytes(1_048_576))


def ask(connection: socket.socket, count: int) -> None:
    for number in range(count):
        connection.sendall(encode_frame({"id": number, "op": "any", "args": {}}))


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(30)
    connection.connect(str(path))
    return connection


def test_peer_that_reads_nothing_loses_its_connection_and_others_keep_theirs(tmp_path: Path) -> None:
    server = Server(tmp_path / "socket", Generous(), uids={os.geteuid()}, local=False, send_s=0.3)
    server.start()
    try:
        with connect(tmp_path / "socket") as idle, connect(tmp_path / "socket") as other:
            ask(idle, 8)
            time.sleep(1.0)  # longer than the authority waits for a peer
            ended = threading.Event()
            received: list[dict[str, Any]] = []

            def read() -> None:
                frames = FrameReader()
                while len(received) < 3 and (some := other.recv(65_536)):
                    received.extend(dict(message) for message in frames.feed(some))
                ended.set()

            threading.Thread(target=read, daemon=True).start()
            ask(other, 3)
            assert ended.wait(30)
            assert [message["id"] for message in received] == [0, 1, 2]
            # What the kernel took before the deadline is still there; after that the connection has an end.
            left = 0
            while some := idle.recv(1_048_576):
                left += len(some)
            assert left < 8 * 1_048_576
    finally:
        server.stop()


# What another user does: he connects as often as he is let in, and asks on the first connection without end.
_OTHER = """
import socket, sys
path, frame, count = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3])
held = []
for _ in range(count + 3):
    each = socket.socket(socket.AF_UNIX)
    each.settimeout(20)
    each.connect(path)
    try:
        each.sendall(frame)
        let_in = bool(each.recv(1))
    except ConnectionError:
        let_in = False
    held.append(each) if let_in else each.close()
print(len(held), flush=True)
for each in held[:1] * 100:
    each.sendall(frame)
sys.stdin.readline()
"""


class Patient:
    """Answers so many requests, and leaves those that come after them open."""

    def __init__(self, answered: int) -> None:
        self._left = answered
        self.open: list[Peer] = []

    def handle(self, peer: Peer, request: Request, reply: Reply) -> None:
        if self._left:
            self._left -= 1
            reply(peer.own)
        else:
            self.open.append(peer)

    def await_open(self, count: int) -> None:
        deadline = time.monotonic() + 20
        while len(self.open) < count:
            assert time.monotonic() < deadline, self.open
            time.sleep(0.02)


def test_other_users_have_few_connections_with_few_requests_each_and_the_service_has_its_own(
    tmp_path: Path,
) -> None:
    assert os.geteuid() == 0, "this needs root, to become another user"
    for directory in (tmp_path, *tmp_path.parents[:3]):
        directory.chmod(0o755)
    handler = Patient(answered=MAX_OF_ONE)
    server = Server(tmp_path / "socket", handler, uids={0}, local=True, barred={12_345})
    server.start()
    frame = encode_frame({"id": 1, "op": "any", "args": {}})
    command = [sys.executable, "-I", "-c", _OTHER, str(tmp_path / "socket"), frame.hex(), str(MAX_OF_ONE)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": "/"}
    try:
        with subprocess.Popen(command, user=65_534, **pipes) as other:  # type: ignore[call-overload]
            assert other.stdout.readline() == f"{MAX_OF_ONE}\n"
            handler.await_open(MAX_OPEN)
            time.sleep(0.3)  # for more, if they were taken
            assert len(handler.open) == MAX_OPEN
            assert {(peer.uid, peer.own) for peer in handler.open} == {(65_534, False)}
            other.communicate("\n", timeout=20)
        with subprocess.Popen(command, user=12_345, **pipes) as barred:  # type: ignore[call-overload]
            assert barred.stdout.readline() == "0\n"
            barred.kill()
        with connect(tmp_path / "socket") as own:
            ask(own, 20)
            handler.await_open(MAX_OPEN + 20)
            assert [peer.own for peer in handler.open[-20:]] == [True] * 20
    finally:
        server.stop()
