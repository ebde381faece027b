"""Calendars by way of their reader: files and real HTTPS, and what must not cost more than it may."""

from __future__ import annotations

import pwd
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from appliance.calendars.fetch import Unreachable, check_url
from appliance.calendars.reader import CPU_S, MEMORY
from appliance.calendars.reading import Source, UnreadableFeed, read_source
from appliance.setup.tls import make_server_certificate
from support.calendars import calendar, event

NOW_S = int(time.time())
SOON = time.strftime("%Y%m%d", time.gmtime(NOW_S + 30 * 86_400))
LEAVE = calendar(event(f"DTSTART;VALUE=DATE:{SOON}", "SUMMARY:Leave: ada"))

Answer = Callable[[BaseHTTPRequestHandler], None]


def source(**fields: Any) -> Source:
    return Source(zone=ZoneInfo("Europe/Berlin"), **fields)


class Server(ThreadingHTTPServer):
    """A server whose clients may hang up, which is what they are to do here."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(answer: Answer, tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Serve what a function answers, with TLS if there is a certificate; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_request(self, *_: Any) -> None:
            """Say nothing."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, tls))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/ada.ics?key=1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers or {})).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_feed_is_read_over_https_from_whom_the_configured_certificate_says(tmp_path: Path) -> None:
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    for path, pem in zip((key, certificate), make_server_certificate(["127.0.0.1"], NOW_S), strict=True):
        path.write_bytes(pem)
    with serving(send(LEAVE), (certificate, key)) as url:
        (found,) = read_source(source(url=url, ca=certificate), NOW_S)
        assert found.summary == "Leave: ada"
        with pytest.raises(UnreadableFeed, match="CERTIFICATE_VERIFY_FAILED"):
            read_source(source(url=url), NOW_S)
        for text in ("", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
            certificate.write_text(text)
            with pytest.raises(UnreadableFeed, match=r"certificates to trust \(ca\) are none"):
                read_source(source(url=url, ca=certificate), NOW_S)


def test_file_is_read_with_or_without_a_byte_order_mark_and_not_beyond_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "ada.ics"
    path.write_bytes(b"\xef\xbb\xbf" + LEAVE)
    assert len(read_source(source(file=path), NOW_S)) == 1
    with pytest.raises(UnreadableFeed, match="longer than 100 bytes"):
        read_source(source(file=path, max_bytes=100), NOW_S)
    with pytest.raises(UnreadableFeed, match="cannot be read"):
        read_source(source(file=tmp_path / "nothing.ics"), NOW_S)


def test_file_is_opened_by_whoever_asks_and_not_by_the_reader_s_user(tmp_path: Path) -> None:
    path = tmp_path / "ada.ics"
    path.touch(mode=0o600)
    path.write_bytes(LEAVE)
    assert len(read_source(source(file=path, user="nobody"), NOW_S)) == 1


def test_reader_is_another_user_where_root_has_one_for_it_and_has_no_more_than_it_may() -> None:
    """Looked at while it waits for its feed."""
    seen: dict[str, str] = {}

    def look(handler: BaseHTTPRequestHandler) -> None:
        (reader,) = readers()
        for name in ("status", "limits", "environ"):
            seen[name] = (reader / name).read_text()
        send(LEAVE)(handler)

    with serving(look) as url:
        assert len(read_source(source(url=url, user="nobody"), NOW_S)) == 1
    nobody = pwd.getpwnam("nobody")
    assert re.findall(r"^[UG]id:\t(\d+)\t(\d+)\t", seen["status"], re.MULTILINE) == [
        (str(nobody.pw_uid), str(nobody.pw_uid)),
        (str(nobody.pw_gid), str(nobody.pw_gid)),
    ]
    assert re.search(r"^Groups:\s*$", seen["status"], re.MULTILINE)
    for limit, most in (
        ("cpu time", CPU_S),
        ("address space", MEMORY),
        ("file size", 0),
        ("core file size", 0),
    ):
        assert re.search(rf"^Max {limit} +{most} +{most} ", seen["limits"], re.MULTILINE), seen["limits"]
    assert {each.partition("=")[0] for each in seen["environ"].split("\0") if each} == {
        "PATH",
        "PYTHONTZPATH",
    }


def readers() -> list[Path]:
    """Return where /proc has the readers that this process has started."""
    tasks = Path("/proc/self/task").glob("*/children")
    started = [Path("/proc") / pid for task in tasks for pid in task.read_text().split()]
    return [each for each in started if b"appliance.calendars.reader" in (each / "cmdline").read_bytes()]


def test_zone_that_only_the_machine_has_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "ada.ics"
    path.write_bytes(calendar(event(f"DTSTART;TZID=localtime:{SOON}T080000", "DURATION:PT1H")))
    with pytest.raises(UnreadableFeed, match="unknown time zone 'localtime'"):
        read_source(source(file=path), NOW_S)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (send(b"gone", 410), "status 410"),
        (send(b"<html>sign in</html>"), "not a calendar"),
        (send(LEAVE * 100), "more than 10000 bytes"),
        (send(LEAVE, headers={"Content-Length": "9999"}), "bytes less than it said"),
        (send(b"", 302, {"Location": "/ada.ics"}), "redirected more than"),
        (send(b"", 302, {"Location": "ftp://example.org/ada.ics"}), "expected a URL with https"),
        (send(b"", 302, {"Location": "https://[::1"}), "redirected to what is no URL"),
        (send(b"", 302, {"Location": f"https://{'a' * 70}.example/"}), "the URL is none"),
    ],
)
def test_answer_that_is_no_calendar_is_refused_without_its_address(answer: Answer, complaint: str) -> None:
    with serving(answer) as url, pytest.raises(UnreadableFeed, match=complaint) as caught:
        read_source(source(url=url, max_bytes=10_000, timeout_s=5), NOW_S)
    assert "key=1" not in str(caught.value)


def test_server_that_trickles_is_given_up_in_time() -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for octet in LEAVE:
            handler.wfile.write(bytes([octet]))
            time.sleep(0.05)

    began = time.monotonic()
    with pytest.raises(UnreadableFeed, match="not read within 2 s"), serving(trickle) as url:
        read_source(source(url=url, timeout_s=2), NOW_S)
    assert time.monotonic() - began < 10


def test_rule_that_never_comes_true_is_given_up_in_time(tmp_path: Path) -> None:
    rule = "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"
    bombs = [event(f"DTSTART;VALUE=DATE:{SOON}", rule, uid=str(number)) for number in range(1_000)]
    path = tmp_path / "bomb.ics"
    path.write_bytes(calendar(*bombs))
    with pytest.raises(UnreadableFeed, match="not read within 2 s"):
        read_source(source(file=path, timeout_s=2), NOW_S)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.ics",
        "file:///etc/passwd",
        "https://",
        "https://example.org/a b",
        "ada.ics",
        "https://ada:secret@example.org/a.ics",
        "https://[::1",
        f"https://{'a' * 70}.example/",
    ],
)
def test_url_that_is_not_https_or_is_none_is_refused(url: str) -> None:
    with pytest.raises(Unreachable):
        check_url(url)
