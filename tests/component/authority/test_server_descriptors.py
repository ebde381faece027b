"""The authority's socket when descriptors run out: it waits for some, and goes on accepting."""

from __future__ import annotations

import os
import resource
import socket
from contextlib import suppress
from pathlib import Path

from appliance.authority.transport.protocol import FrameReader, Request, encode_frame
from appliance.authority.transport.server import Peer, Reply, Server
from support.isolated import isolated


class Echo:
    def handle(self, peer: Peer, request: Request, reply: Reply) -> None:
        reply(request.op)


@isolated
def test_connection_that_came_when_there_were_no_descriptors_is_served_when_there_are(tmp_path: Path) -> None:
    server = Server(tmp_path / "sock", Echo(), uids={os.geteuid()}, local=True)
    server.start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0.5)
        held = []
        with suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        assert held
        first.connect(str(tmp_path / "sock"))  # for one, accept(2) had a descriptor before it waited
        client.connect(str(tmp_path / "sock"))
        client.sendall(encode_frame({"id": 7, "op": "hello", "args": {}}))
        with suppress(TimeoutError):
            raise AssertionError(f"served without a descriptor: {client.recv(1)!r}")
        for descriptor in held:
            os.close(descriptor)
        client.settimeout(10)
        assert list(FrameReader().feed(client.recv(4_096))) == [{"id": 7, "ok": "hello"}]
    server.stop()
