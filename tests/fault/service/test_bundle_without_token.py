"""What a host gets while the token hangs or lies: what was signed before, or a problem."""

from __future__ import annotations

import time
from pathlib import Path

from support.load import BODY
from support.service import HOST, Reply, Service, make_disturbed_service

PATH = f"/v1/hosts/{HOST}/sshd"


def ask_anew(service: Service) -> Reply:
    """Ask for a statement that covers what has just been recorded, so that the token must sign."""
    issued = service.http("POST", "/v1/certificates/user", BODY, as_="alice")
    if issued.status != 201:
        return issued
    return service.http("GET", f"{PATH}?min_size={issued.json['ledger_size']}", as_="carol")


def eventually_signed(service: Service) -> None:
    end = time.monotonic() + 30
    while service.http("GET", PATH, as_="carol").status != 200 or ask_anew(service).status != 200:
        assert time.monotonic() < end, service.log[-4_000:]


def test_bundles_wait_for_a_token_that_hangs_and_nothing_else_does(tmp_path: Path) -> None:
    service, shim = make_disturbed_service(tmp_path, sign_deadline_s=1, turn_deadline_s=1)
    with service.running():
        service.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
        held = ask_anew(service)
        assert held.status == 200, held.body
        size = held.json["ledger_size"]
        service.order("host", "add", "other.acme.example", "--customer", "acme")
        shim.hang = 1
        try:
            began = time.monotonic()
            refused = service.http("GET", f"{PATH}?min_size={size + 1}", as_="carol")
            assert (refused.status, refused.slug) == (503, "hsm-unavailable")
            assert refused.headers["retry-after"] == "5"
            assert time.monotonic() - began < 10
            assert service.http("GET", PATH, as_="carol").json["statement"] == held.json["statement"]
            assert service.http("GET", "/v1/hosts", as_="carol").status == 200
        finally:
            shim.hang = 0
        eventually_signed(service)


def test_signature_that_is_none_never_leaves(tmp_path: Path) -> None:
    service, shim = make_disturbed_service(tmp_path)
    with service.running():
        service.order("host", "add", HOST, "--customer", "acme", "--label", "role=web")
        service.settled("/v1/whoami", "carol")
        shim.corrupt_times = 1_000
        refused = service.http("GET", PATH, as_="carol")
        assert (refused.status, refused.slug) == (503, "hsm-unavailable")
        shim.calm()
        eventually_signed(service)
