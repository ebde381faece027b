"""Cutting off while the token is slow, and while it is gone: nothing leaves that was cut off meanwhile."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from appliance.ssh.krl import decode_krl
from support.load import BODY, entries, judge
from support.service import Reply, Service, make_disturbed_service


def ask(service: Service, replies: list[Reply]) -> threading.Thread:
    """Ask for alice's certificates on a thread of its own."""

    def run() -> None:
        replies.append(service.http("POST", "/v1/certificates/user", BODY, as_="alice"))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_lock_placed_while_a_slow_token_signs_keeps_the_certificate_back(tmp_path: Path) -> None:
    service, shim = make_disturbed_service(tmp_path)
    with service.running():
        service.credential("alice")
        service.credential("carol")
        before = service.size
        shim.delay_ns = 2_000_000_000
        replies: list[Reply] = []
        asking = ask(service, replies)
        while not any(entry["seq"] >= before for entry in entries(service)):
            time.sleep(0.02)
        body = {"identity": "api:alice", "reason": "left"}
        placed = service.http("POST", "/v1/locks", body, as_="carol")
        assert placed.status == 201, placed.body
        assert (placed.json["count"], placed.json["live_count"]) == (1, 0)
        asking.join(30)
        shim.calm()
        (reply,) = replies
        assert (reply.slug, reply.json["rule"]) == ("policy-denied", "revocation")
        krl = decode_krl(service.http("GET", "/v1/krl/acme-users").body)
    (failed,) = [entry for entry in entries(service) if entry["kind"] == "certificate.failed"]
    assert failed["data"]["reason"] == "revoked before release"
    serial = 1 << 48 | failed["data"]["intent"]
    assert any(first <= serial <= last for each in krl.certificates for first, last in each.ranges)
    assert "VERIFIED" in service.cli("ledger", "verify").stdout


def test_krl_goes_on_without_the_token_but_for_its_signature(tmp_path: Path) -> None:
    service, shim = make_disturbed_service(tmp_path)
    with service.running():
        certificate = service.issue(BODY)[0]
    shim.removed = 1
    with service.running(ready=False):
        deadline = time.monotonic() + 30
        while "could not be opened" not in service.cli("status", check=False).stdout:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        service.cli("cert", "revoke", certificate["serial"], "--reason", "lost")
        reply = service.http("GET", "/v1/krl/acme-users")
        assert reply.status == 200, reply.body
        ranges = [each for of_key in decode_krl(reply.body).certificates for each in of_key.ranges]
        assert any(first <= int(certificate["serial"]) <= last for first, last in ranges)
        assert service.http("GET", "/v1/krl/acme-users.sig").slug == "hsm-unavailable"
        shim.removed = 0
        service.await_ready()
        # One that could not be signed is given again for a second.
        deadline = time.monotonic() + 10
        while (signed := service.http("GET", "/v1/krl/acme-users.sig")).status != 200:
            assert time.monotonic() < deadline, signed.body
            time.sleep(0.1)
    judge(service, [])
