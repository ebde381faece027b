"""`chancery login` at a server that is no Chancery, or a hostile one: a line says so, whatever it answers."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from appliance.cli.main import main
from appliance.clock import now_s
from appliance.setup.tls import make_server_certificate
from support.agent import running_agent

LATER: Final = "2100-01-01T00:00:00Z"
PROVIDERS: Final = {"providers": [{"name": "ad", "type": "ldap"}]}
SESSION: Final = {"credential": "c", "expires": LATER}
LINE: Final = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t"
ODD_PROVIDERS: Final[tuple[object, ...]] = (
    *([], {}, "x", None),
    *({"providers": 5}, {"providers": [5]}, {"providers": [{}]}),
)
CERTIFICATE: Final = {"certificate": LINE, "serial": "5", "principals": ["root"], "valid_before": LATER}


@dataclass(slots=True, kw_only=True)
class Odd:
    """A server that answers each path as the test says, and somebody who logs in there."""

    url: str
    directory: Path
    answers: dict[str, tuple[int, bytes]]
    environment: dict[str, str | None] = field(default_factory=dict)

    def answer(self, path: str, value: object, status: int = 200) -> None:
        self.answers[path] = status, value if isinstance(value, bytes) else json.dumps(value).encode()

    def log_in(self, *arguments: str) -> Result:
        command = ["login", self.url, "--ca", str(self.directory / "tls.pem"), *arguments]
        return CliRunner().invoke(
            main, command, env=self.environment, input="password\n", catch_exceptions=False
        )


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Odd]:
    key, certificate = make_server_certificate(("127.0.0.1",), now_s())
    (tmp_path / "tls.key").write_bytes(key)
    (tmp_path / "tls.pem").write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem", tmp_path / "tls.key")
    answers: dict[str, tuple[int, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answers[self.path]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the base class's name

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, running_agent(tmp_path) as agent:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made = Odd(url=f"https://127.0.0.1:{server.server_port}", directory=tmp_path, answers=answers)
        made.environment = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "SSH_AUTH_SOCK": str(agent)}
        made.answer("/v1/providers", PROVIDERS)
        made.answer("/v1/sessions", SESSION)
        made.answer("/v1/whoami", {"identity": "ad:ada"})
        made.answer("/v1/certificates/user", {"certificates": [CERTIFICATE]})
        yield made
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("/v1/providers", each) for each in ODD_PROVIDERS),
        *(
            ("/v1/sessions", SESSION | each)
            for each in (
                {"credential": 5},
                {"credential": ""},
                {"credential": "c\r\nX: y"},
                {"credential": "\u2028"},
                {"expires": "x"},
                {"expires": 5},
                {"expires": "99999-01-01T00:00:00Z"},
            )
        ),
        ("/v1/whoami", {}),
        ("/v1/certificates/user", {}),
        ("/v1/certificates/user", {"certificates": 5}),
        *(
            ("/v1/certificates/user", {"certificates": [CERTIFICATE | each]})
            for each in (
                {"certificate": "x"},
                {"certificate": None},
                {"principals": "root"},
                {"serial": 5},
                {"valid_before": "soon"},
            )
        ),
    ],
    ids=str,
)
def test_answer_that_is_none_of_chancery_is_said_in_a_line(odd: Odd, path: str, value: object) -> None:
    odd.answer(path, value)
    done = odd.log_in("--user", "ada")
    assert done.exit_code == 1
    assert f"127.0.0.1 does not answer {path} as Chancery does" in done.output


def test_what_a_server_says_is_no_order_to_the_terminal(odd: Odd) -> None:
    said = "\x1b[2Jred\x1b]0;title\x07\x9b5A\u202egood"
    odd.answer("/v1/providers", {"type": "/problems/internal", "detail": said}, status=500)
    done = odd.log_in()
    assert "\\x1b[2Jred\\x1b]0;title\\x07\\x9b5A\\u202egood\n" in done.output
    odd.answer("/v1/providers", PROVIDERS)
    odd.answer("/v1/whoami", {"identity": said})
    assert "logged in as \\x1b[2Jred" in odd.log_in("--user", "ada").output


def test_page_for_people_is_no_answer(odd: Odd) -> None:
    odd.answer("/v1/providers", b"<html>", status=404)
    done = odd.log_in()
    assert (done.exit_code, "answers /v1/providers with 404, not as Chancery does" in done.output) == (
        1,
        True,
    )


def test_certificate_of_nobody_known_is_said_with_the_option_that_names_its_ca(odd: Odd) -> None:
    done = CliRunner().invoke(main, ["login", odd.url], env=odd.environment, catch_exceptions=False)
    assert (done.exit_code, "`--ca FILE`" in done.output) == (3, True)


def test_what_the_service_does_not_take_right_after_signing_in_is_said_to_be_the_providers(odd: Odd) -> None:
    refused = {"type": "/problems/unauthenticated", "detail": "the credential is not valid"}
    odd.answer("/v1/whoami", refused, status=401)
    assert "does not take what ad gave you" in odd.log_in("--user", "ada").output


def test_time_to_wait_is_said(odd: Odd) -> None:
    busy = {"type": "/problems/rate-limited", "detail": "too many", "retry_after_s": 17}
    odd.answer("/v1/sessions", busy, status=429)
    assert "too many\ntry again in 17 s" in odd.log_in("--user", "ada").output


def test_nobody_is_asked_for_a_password_if_there_is_no_agent(odd: Odd) -> None:
    odd.environment["SSH_AUTH_SOCK"] = "/nonexistent/agent"
    done = odd.log_in("--user", "ada")
    assert (done.exit_code, "ssh-agent" in done.output, "Password" in done.output) == (1, True, False)


def test_browser_that_cannot_be_opened_leaves_the_device(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without one; a real provider is in test_login.py."""
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    provider = {"name": "oidc", "type": "oidc", "issuer": odd.url, "client_id": "cli"}
    endpoints = {"authorization_endpoint": f"{odd.url}/auth", "token_endpoint": f"{odd.url}/token"}
    odd.answer("/v1/providers", {"providers": [provider]})
    odd.answer("/.well-known/openid-configuration", {"issuer": odd.url} | endpoints)
    monkeypatch.setattr("appliance.client.loopback.Callback.wait.__defaults__", (0.2,))
    odd.environment["SSL_CERT_FILE"] = str(odd.directory / "tls.pem")
    done = odd.log_in()
    assert (done.exit_code, "use --device" in done.output) == (1, True)


def test_file_of_a_client_secret_that_is_no_text_is_said(odd: Odd, tmp_path: Path) -> None:
    odd.answer("/v1/providers", {"providers": [{"name": "oidc", "type": "oidc", "issuer": odd.url}]})
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    done = odd.log_in("--client-secret-file", str(tmp_path / "secret"))
    assert (done.exit_code, "secret: expected text" in done.output) == (1, True)


def test_status_of_another_server_is_no_answer_either(odd: Odd) -> None:
    odd.answer("/v1/providers", {}, status=302)
    assert "is the URL right?" in odd.log_in().output


def test_clock_that_is_ahead_is_said_and_nothing_is_kept_of_what_seems_to_have_ended(odd: Odd) -> None:
    past = "2020-01-01T00:00:00Z"
    said = "is good until 2020-01-01T00:00:00Z, and this machine's clock says that it is 20"
    odd.answer("/v1/certificates/user", {"certificates": [CERTIFICATE | {"valid_before": past}]})
    done = odd.log_in("--user", "ada")
    assert (done.exit_code, f"the certificate 5 {said}" in done.output) == (1, True)
    assert "set the clock" in done.output
    odd.answer("/v1/sessions", SESSION | {"expires": past})
    done = odd.log_in("--user", "ada", "--again")
    assert (done.exit_code, f"the login {said}" in done.output) == (1, True)


def test_certificate_that_is_none_or_lasts_for_ages_is_for_the_agent_to_refuse(odd: Odd) -> None:
    certificate = CERTIFICATE | {"valid_before": "2400-01-01T00:00:00Z"}
    odd.answer("/v1/certificates/user", {"certificates": [certificate]})
    done = odd.log_in("--user", "ada")
    assert (done.exit_code, "the ssh-agent does not take" in done.output) == (1, True)
