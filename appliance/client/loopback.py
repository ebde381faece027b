"""Where the browser brings the code: a listener on loopback, for one answer (RFC 8252 §7.3)."""

from __future__ import annotations

import hmac
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from appliance.errors import ConfigError

PATH: Final = "/callback"
# For a person to log in, with whatever second factor.
WAIT_S: Final = 300.0
_MAX_QUERY: Final = 8_192
_DONE: Final = b"You are logged in, and can close this window."
_FAILED: Final = b"The login failed; the command line says why."


class Callback(HTTPServer):
    """Waits for the answer to the request that was made with ``state``; whatever else comes is ignored.

    Port 0 is one that is free, as RFC 8252 has it; some providers want to be told of one.
    """

    def __init__(self, state: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.state = state
        self.answer: dict[str, str] | None = None

    @property
    def redirect_uri(self) -> str:
        """Return where the provider sends the browser."""
        return f"http://127.0.0.1:{self.server_port}{PATH}"

    def wait(self, wait_s: float = WAIT_S) -> dict[str, str]:
        """Return the parameters of the answer.

        Raises:
            ConfigError: none came in time.
        """
        end = time.monotonic() + wait_s
        while self.answer is None:
            self.timeout = end - time.monotonic()
            if self.timeout <= 0:
                raise ConfigError(f"nobody logged in within {wait_s:.0f} s")
            self.handle_request()
        return self.answer


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
        self.server.answer = parameters
        text = _DONE if "code" in parameters else _FAILED
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the query holds the code."""
