"""JSON over HTTPS from a server that misbehaves: too much, too slow, elsewhere, or not who it should be."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.clock import now_s
from appliance.identity import fetching
from appliance.identity.errors import ProviderUnavailable
from appliance.identity.fetching import get_json, make_context, post_form
from appliance.setup.tls import make_server_certificate

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


@contextmanager
def serving(directory: Path, answer: Callable[[ssl.SSLSocket], None]) -> Iterator[tuple[str, Path]]:
    """Answer one request; yield the URL and the CA."""
    key, certificate = make_server_certificate(("127.0.0.1",), now_s())
    (directory / "key.pem").write_bytes(key)
    (directory / "ca.pem").write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "ca.pem", directory / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as client:
                    client.recv(65_536)
                    answer(client)
            except OSError:  # the client had enough
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/x", directory / "ca.pem"
        with socket.socket() as last:  # if it was never asked
            last.connect_ex(listener.getsockname())
        thread.join(10)


def fetch(directory: Path, answer: bytes) -> str:
    with serving(directory, lambda client: client.sendall(answer)) as (url, ca):
        with pytest.raises(ProviderUnavailable) as raised:
            get_json(url, make_context(ca))
        return str(raised.value)


def test_object_is_fetched(tmp_path: Path) -> None:
    with serving(tmp_path, lambda client: client.sendall(OK + b'{"a": 1}')) as (url, ca):
        assert get_json(url, make_context(ca)) == {"a": 1}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            b"HTTP/1.1 302 Found\r\nLocation: https://example.org/\r\nContent-Length: 2\r\n\r\n{}",
            "answered 302",
        ),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}", "answered 503"),
        (OK + b"[]", "expected a JSON object"),
        (OK + b"<html>", "no JSON"),
        (OK + b"[" * 100_000, "no JSON"),
        (OK + b'{"a": "' + b"x" * fetching.MAX_BYTES + b'"}', "longer than"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "breaks off"),
        (b"", "RemoteDisconnected"),
    ],
)
def test_answer_that_is_none_is_an_unavailable_provider(tmp_path: Path, answer: bytes, said: str) -> None:
    assert said in fetch(tmp_path, answer)


@pytest.mark.parametrize(
    ("begin", "more"),
    [(OK, b" "), (b"HTTP/1.1 200 OK\r\nX-Padding: ", b"x"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
    ids=["body", "header", "answers to come"],
)
def test_answer_that_trickles_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: bytes, more: bytes
) -> None:
    monkeypatch.setattr(fetching, "DEADLINE_S", 0.5)
    stop = threading.Event()

    def trickle(client: ssl.SSLSocket) -> None:
        client.sendall(begin)
        for _ in range(200):
            if not stop.wait(0.05):
                client.sendall(more)

    with serving(tmp_path, trickle) as (url, ca):
        with pytest.raises(ProviderUnavailable, match="took more than"):
            get_json(url, make_context(ca))
        stop.set()


def test_server_of_another_ca_is_not_asked(tmp_path: Path) -> None:
    with (
        serving(tmp_path, lambda client: client.sendall(OK + b"{}")) as (url, _),
        pytest.raises(ProviderUnavailable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        get_json(url, make_context(None))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "file:///etc/passwd", "https:///x"])
def test_only_https_is_spoken(url: str) -> None:
    with pytest.raises(ProviderUnavailable, match="only https"):
        get_json(url, make_context(None))
    with pytest.raises(ProviderUnavailable, match="only https"):
        post_form(url, {}, make_context(None))


@pytest.mark.parametrize(
    "host", ["127.0.0.1:65536", "127.0.0.1:port", "[::1", "two words", "a\r\nb", "é" * 70]
)
def test_url_that_names_no_server_is_an_unavailable_provider(host: str) -> None:
    with pytest.raises(ProviderUnavailable):
        get_json(f"https://{host}/x", make_context(None))


def test_file_of_cas_that_is_none_is_an_unavailable_provider(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ProviderUnavailable, match="cannot be used"):
            make_context(tmp_path / name)
