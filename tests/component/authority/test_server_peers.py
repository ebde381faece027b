"""A peer of the authority that asks and does not read the replies."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from appliance.authority.transport.protocol import FrameReader, Request, encode_frame
from appliance.authority.transport.server import Peer, Reply, Server


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
