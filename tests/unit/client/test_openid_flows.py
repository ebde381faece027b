"""Logging in at providers that answer oddly; that the flows work, a real one shows (test_login.py)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from appliance.client import openid
from appliance.client.loopback import Callback
from appliance.client.openid import Client, log_in_with_browser, log_in_with_device
from appliance.errors import ChanceryError, ConfigError
from appliance.identity.errors import ProviderUnavailable
from appliance.identity.fetching import Answer
from support.issuer import unsigned

ISSUER = "https://login.example.org"
CLIENT = Client(
    issuer=ISSUER, client_id="cli", scopes=("openid",), context=ssl.create_default_context(), secret="s"
)
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "device_authorization_endpoint": f"{ISSUER}/device",
}
Script = Callable[[str, Mapping[str, str]], Answer]


def pose(monkeypatch: pytest.MonkeyPatch, script: Script, document: Mapping[str, Any] = DOCUMENT) -> None:
    """Stand in for a provider that no real one would be."""
    monkeypatch.setattr(openid, "get_json", lambda url, context: document)
    monkeypatch.setattr(openid, "post_form", lambda url, form, context: script(url, form))


def browse(monkeypatch: pytest.MonkeyPatch, token: Callable[[str], Answer], **answer: str) -> None:
    """Log in with a browser that brings ``answer``; ``token`` is asked with the nonce."""
    nonces: list[str] = []

    def show(url: str) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        nonces.append(asked["nonce"])
        query = urlencode({"state": asked["state"], "code": "c"} | answer)
        target = f"{asked['redirect_uri']}?{query}"
        threading.Thread(target=lambda: urllib.request.urlopen(target).close()).start()

    pose(monkeypatch, lambda url, form: token(nonces[0]))
    log_in_with_browser(CLIENT, show)


def good(nonce: str, **changes: Any) -> Answer:
    return Answer(200, {"id_token": unsigned({"nonce": nonce, "exp": 9} | changes, {"alg": "ES256"})})


def test_token_that_answers_this_request_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    browse(monkeypatch, good, iss=ISSUER)
    browse(monkeypatch, lambda nonce: good(nonce, exp=9.5))


@pytest.mark.parametrize(
    ("token", "answer", "said"),
    [
        (lambda nonce: good("another"), {}, "nonce"),
        (lambda nonce: good("None"), {}, "nonce"),
        *(
            (lambda nonce, exp=exp: good(nonce, exp=exp), {}, "when it ends")
            for exp in ("never", None, 10**20, -1, float("nan"), float("inf"))
        ),
        (lambda nonce: Answer(400, {"error": "invalid_grant"}), {}, "invalid_grant"),
        (lambda nonce: Answer(200, {"id_token": "no token"}), {}, "no JWT"),
        (good, {"iss": "https://evil.example.org"}, "refused"),
    ],
)
def test_token_or_answer_that_is_not_ours_is_refused(
    monkeypatch: pytest.MonkeyPatch, token: Callable[[str], Answer], answer: dict[str, str], said: str
) -> None:
    with pytest.raises(ChanceryError, match=said):
        browse(monkeypatch, token, **answer)


def test_listener_ignores_what_has_not_its_state_and_does_not_wait_for_ever() -> None:
    with Callback("right") as callback:
        failures: list[int] = []

        def knock() -> None:
            for query in ("state=wrong&code=c", "code=c", "state=right&state=wrong&code=c", ""):
                try:
                    urllib.request.urlopen(f"{callback.redirect_uri}?{query}").close()
                except urllib.error.HTTPError as error:
                    failures.append(error.code)
                    error.close()

        thread = threading.Thread(target=knock)
        thread.start()
        with pytest.raises(ConfigError, match="nobody logged in"):
            callback.wait(1)
        thread.join(5)
        assert failures == [404] * 4


def test_listener_is_not_held_up_by_who_says_nothing_or_never_ends(capfd: pytest.CaptureFixture[str]) -> None:
    with Callback("right") as callback, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", callback.server_port)
        silent = [stack.enter_context(socket.create_connection(address)) for _ in range(3)]
        silent[0].sendall(b"GET /callback?state=ri")
        silent[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        silent[1].close()  # with a reset
        target = f"{callback.redirect_uri}?state=right&code=c"
        browser = threading.Thread(target=lambda: urllib.request.urlopen(target).close())
        browser.start()
        began_s = time.monotonic()
        assert callback.wait(30)["code"] == "c"
        assert time.monotonic() - began_s < 9, "a handler waits for ten"
        browser.join(10)
    assert capfd.readouterr().err == ""


def test_listener_ends_in_time_though_somebody_goes_on_and_on() -> None:
    with Callback("right") as callback, socket.create_connection(("127.0.0.1", callback.server_port)) as one:
        ended = threading.Event()

        def trickle() -> None:
            with contextlib.suppress(OSError):
                one.sendall(b"GET /")
                while not ended.wait(0.2):
                    one.sendall(b"a")

        thread = threading.Thread(target=trickle)
        thread.start()
        with pytest.raises(ConfigError, match="nobody logged in"):
            callback.wait(1)
        ended.set()
        thread.join(10)


def test_port_that_is_taken_is_said_with_the_option_that_names_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="--redirect-port"):
        Callback("right", taken.getsockname()[1])


def test_query_of_an_endpoint_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def show(url: str) -> None:
        shown.append(url)
        raise ConfigError("seen")

    document = DOCUMENT | {"authorization_endpoint": f"{ISSUER}/auth?p=sign_in"}
    pose(monkeypatch, lambda url, form: Answer(200, {}), document)
    with pytest.raises(ConfigError, match="seen"):
        log_in_with_browser(CLIENT, show)
    query = parse_qs(urlsplit(shown[0]).query, strict_parsing=True)
    assert (query["p"], query["response_type"], query["client_id"]) == (["sign_in"], ["code"], ["cli"])


def test_person_who_says_no_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def show(url: str) -> None:
        asked = parse_qs(urlsplit(url).query)
        query = urlencode({"state": asked["state"][0], "error": "access_denied"})
        target = f"{asked['redirect_uri'][0]}?{query}"
        threading.Thread(target=lambda: urllib.request.urlopen(target).close()).start()

    pose(monkeypatch, lambda url, form: Answer(200, {}))
    with pytest.raises(ConfigError, match="access_denied"):
        log_in_with_browser(CLIENT, show)


def test_device_waits_as_long_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = {
        "device_code": "d",
        "user_code": "U",
        "verification_uri": f"{ISSUER}/go",
        "interval": 2,
        "expires_in": 60,
    }
    answers = [
        Answer(200, begun),
        Answer(400, {"error": "authorization_pending"}),
        Answer(400, {"error": "slow_down"}),
        good(""),
    ]
    slept: list[float] = []
    forms: list[Mapping[str, str]] = []

    def script(url: str, form: Mapping[str, str]) -> Answer:
        forms.append(form)
        return answers.pop(0)

    pose(monkeypatch, script)
    monkeypatch.setattr(time, "sleep", slept.append)
    assert log_in_with_device(CLIENT, lambda url, code: None).ends_s == 9
    assert slept == [2, 2, 7]
    assert {form["client_secret"] for form in forms} == {"s"}


@pytest.mark.parametrize(
    "answers",
    [
        [Answer(400, {"error": "unauthorized_client"})],
        [Answer(200, {"device_code": "d"}), Answer(400, {"error": "access_denied"})],
        [Answer(200, {"device_code": "d"}), Answer(400, {"error": "expired_token"})],
    ],
)
def test_device_that_is_refused_says_why(monkeypatch: pytest.MonkeyPatch, answers: list[Answer]) -> None:
    said = answers[-1].members["error"]
    pose(monkeypatch, lambda url, form: answers.pop(0))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(ConfigError, match=said):
        log_in_with_device(CLIENT, lambda url, code: None)


@pytest.mark.parametrize(
    "document",
    [
        {**DOCUMENT, "issuer": "https://evil.example.org"},
        {"issuer": ISSUER},
        {**DOCUMENT, "authorization_endpoint": "http://x"},
    ],
)
def test_provider_that_offers_no_such_login_is_said(
    monkeypatch: pytest.MonkeyPatch, document: dict[str, str]
) -> None:
    pose(monkeypatch, lambda url, form: Answer(200, {}), document)
    with pytest.raises((ConfigError, ProviderUnavailable)):
        log_in_with_browser(CLIENT, lambda url: None)
