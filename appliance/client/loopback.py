"""Where the browser brings the code: a listener on loopback, for one answer (RFC 8252 §7.3)."""

from __future__ import annotations

import hmac
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from appliance.errors import ConfigError

PATH: Final = "/callback"
# For a person to log in, with whatever second factor.
WAIT_S: Final = 300.0
_MAX_QUERY: Final = 8_192
_POLL_S: Final = 0.05
_DONE: Final = b"You are logged in, and can close this window."
_FAILED: Final = b"The login failed; the command line says why."


class Callback(ThreadingHTTPServer):
    """Waits for the answer to the request that was made with ``state``; whatever else comes is ignored.

    It holds up nobody either: anyone on this machine can connect and say nothing, and browsers do so ahead of
    time. Port 0 is one that is free, as RFC 8252 has it; some providers want to be told of one.

    Raises:
        ConfigError: the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, state: str, port: int = 0) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"port {port} cannot be used ({error}): name another with `--redirect-port`, and have the "
                "provider know it"
            ) from error
        self.state = state
        self.answer: dict[str, str] = {}
        self.answered = threading.Event()

    @property
    def redirect_uri(self) -> str:
        """Return where the provider sends the browser."""
        return f"http://127.0.0.1:{self.server_port}{PATH}"

    def wait(self, wait_s: float = WAIT_S) -> dict[str, str]:
        """Return the parameters of the answer.

        Raises:
            ConfigError: none came in time.
        """
        serving = threading.Thread(target=self.serve_forever, args=(_POLL_S,), daemon=True)
        serving.start()
        try:
            if not self.answered.wait(wait_s):
                raise ConfigError(f"nobody logged in within {wait_s:.0f} s")
        finally:
            self.shutdown()
        return self.answer

    def handle_error(self, *_: Any) -> None:
        """Say nothing: whoever broke his connection can try again."""


class _Handler(BaseHTTPRequestHandler):
    server: Callback
    timeout = 10

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        found = parse_qs(target.query[:_MAX_QUERY])
        parameters = {name: values[0] for name, values in found.items() if len(values) == 1}
        ours = hmac.compare_digest(parameters.get("state", "").encode(), self.server.state.encode())
        if target.path != PATH or not ours:
            self.send_error(404)
            return
        text = _DONE if "code" in parameters else _FAILED
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text)
        if not self.server.answered.is_set():
            self.server.answer = parameters
            self.server.answered.set()

    def log_message(self, *_: Any) -> None:
        """Say nothing: the query holds the code."""
