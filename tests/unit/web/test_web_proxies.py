"""Where a request comes from: who may say so, and what others write into the header is nobody's word."""

from __future__ import annotations

import pytest

from appliance.config import ServiceTable
from appliance.errors import Refusal
from appliance.web.proxies import Proxies
from support.web import ALICE, make_app

PROXIES = Proxies(("10.0.0.0/8", "2001:db8::/48"))
NEAR, FAR, CALLER = "10.0.0.1", "10.9.9.9", "192.0.2.7"


@pytest.mark.parametrize("address", [CALLER, "2001:db8:1::1", "127.0.0.1"])
def test_header_of_a_stranger_is_not_looked_at(address: str) -> None:
    for forwarded in ("203.0.113.9", "no address", f"203.0.113.9, {NEAR}", ""):
        source = PROXIES.locate(address, forwarded)
        assert (source.address, source.proxied) == (address, False)


@pytest.mark.parametrize(
    ("forwarded", "found"),
    [
        (CALLER, CALLER),
        (f"{CALLER}, {FAR}", CALLER),
        (f"{CALLER},{FAR},2001:db8::2", CALLER),
        (f"203.0.113.9, {CALLER}", CALLER),
        (f"10.1.1.1, {CALLER}, {FAR}", CALLER),
        (f"<script>, unknown, {CALLER}", CALLER),
        ("2001:DB8:1:0::7", "2001:db8:1::7"),
        (f"::ffff:{CALLER}", CALLER),
        (f"{CALLER}, ::ffff:{FAR}", CALLER),
        ("fe80::1%eth0", "fe80::1"),
        (FAR, NEAR),
        (None, NEAR),
    ],
)
def test_last_address_that_is_no_proxys_is_the_source(forwarded: str | None, found: str) -> None:
    for connection in (NEAR, f"::ffff:{NEAR}"):
        source = PROXIES.locate(connection, forwarded)
        assert (source.address, source.proxied) == (found, True)


@pytest.mark.parametrize(
    "forwarded", ["", "unknown", f"{CALLER}, ", "192.0.2.7:4711", "[2001:db8:1::7]", "1"]
)
def test_header_of_a_proxy_that_names_no_address_is_malformed(forwarded: str) -> None:
    with pytest.raises(Refusal) as raised:
        PROXIES.locate(NEAR, forwarded)
    assert (raised.value.slug, raised.value.members["field"]) == ("malformed-request", "X-Forwarded-For")


def test_without_proxies_every_connection_is_its_own_source() -> None:
    assert not Proxies().has(NEAR)
    assert Proxies().locate("::ffff:192.0.2.7", FAR).address == CALLER, "IPv4 is written as such"


@pytest.mark.parametrize("blocks", ["0.0.0.0/0", "::/0", "10.0.0.0/8 ::/0", "everyone", "10.0.0.1/8"])
def test_configuration_takes_no_proxies_that_are_everyone_or_none(blocks: str) -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        ServiceTable.model_validate({"trusted_proxies": blocks})
    assert ServiceTable.model_validate({"trusted_proxies": "10.0.0.1, ::1"}).trusted_proxies == (
        "10.0.0.1/32",
        "::1/128",
    )


def test_request_with_a_malformed_header_is_answered_as_one() -> None:
    app, _ = make_app(proxies=PROXIES)
    client = app.test_client()
    headers = {"From": ALICE, "X-Forwarded-For": "unknown"}
    reply = client.get("/v1/providers", headers=headers, environ_base={"REMOTE_ADDR": NEAR})
    assert (reply.status_code, reply.json["field"]) == (400, "X-Forwarded-For")  # type: ignore[index]
    assert (
        client.get("/v1/providers", headers=headers, environ_base={"REMOTE_ADDR": CALLER}).status_code == 200
    )
