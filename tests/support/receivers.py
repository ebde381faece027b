"""A receiver of alarms: an HTTP server on loopback that takes them, refuses them or does not answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class Receiver:
    """What has arrived, in order. ``status`` is what it answers; ``answers`` cleared: it does not."""

    alarms: list[dict[str, Any]] = field(default_factory=list)
    status: int = 204
    asked: int = 0
    answers: threading.Event = field(default_factory=threading.Event)
    grown: threading.Condition = field(default_factory=threading.Condition)

    def take(self, body: bytes) -> int:
        """Take one alarm; return the status to answer with."""
        with self.grown:
            self.asked += 1
            self.grown.notify_all()
        self.answers.wait(20)
        with self.grown:
            if self.status < 300:
                self.alarms.append(json.loads(body))
            self.grown.notify_all()
            return self.status

    def wait_asked(self, count: int) -> None:
        """Wait until it was asked so often."""
        with self.grown:
            assert self.grown.wait_for(lambda: self.asked >= count, 20), f"asked {self.asked} times"

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many alarms of an event have arrived; return them."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.alarms if each["event"] == event]

        with self.grown:
            assert self.grown.wait_for(lambda: len(found()) >= count, 20), [
                each["event"] for each in self.alarms
            ]
            return found()


@contextmanager
def receiving(receiver: Receiver, port: int) -> Iterator[None]:
    """Have a receiver listen at a port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = receiver.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        allow_reuse_address = True
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Let a client go that did not wait for the answer."""

    server = Server(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
