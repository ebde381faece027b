"""A key that gave a bad signature: one rotates away from it without waiting, and an alarm has told of it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from appliance.authority.ordering.commands import PromoteCa, RetireCa, RotateCa
from appliance.errors import Refusal
from support.load import BODY, entries
from support.orders import give, give_credentials
from support.service import Service, make_disturbed_service


def keys(service: Service) -> dict[str, dict[str, object]]:
    found = service.settled("/v1/cas", "alice")["cas"]
    return {key["fingerprint"]: key for key in found if key["ca"] == "acme-users"}


def test_halted_key_is_rotated_away_from_at_once_and_issuing_goes_on(tmp_path: Path) -> None:
    service, shim = make_disturbed_service(tmp_path)
    with service.running():
        give_credentials(service, "alice")
        assert service.issue(BODY)
        (old,) = keys(service)
        shim.corrupt_times = 1
        assert service.http("POST", "/v1/certificates/user", BODY, as_="alice").slug == "hsm-unavailable"
        assert service.http("POST", "/v1/certificates/user", BODY, as_="alice").slug == "issuance-halted"
        assert keys(service)[old]["halted"]
        deadline = time.monotonic() + 20
        while '"event": "ca.halted"' not in service.log:
            assert time.monotonic() < deadline, "nobody was told"
            time.sleep(0.05)
        assert service.cli("ca", "export", "acme-users").stdout == "", "hosts drop it"

        give(service, RotateCa(name="acme-users", algorithm="ecdsa-p256", phase="trusted"))
        (new,) = keys(service).keys() - {old}
        with pytest.raises(Refusal, match="another key must sign first"):
            give(service, RetireCa(name="acme-users", key=old))
        give(service, PromoteCa(name="acme-users", key=new))
        (issued,) = service.issue(BODY)
        assert service.settled(f"/v1/certificates/{issued['serial']}", "alice")["ca_key"] == new
        with pytest.raises(Refusal, match="bad signature"):
            give(service, PromoteCa(name="acme-users", key=old))
        give(service, RetireCa(name="acme-users", key=old))
        assert keys(service)[old]["phase"] == "retired"
    transcripts = [entry["data"]["transcript"] for entry in entries(service) if entry["kind"] == "ca.retired"]
    assert "halted, so that hosts do not trust it any more" in transcripts[0]
    report = json.loads(service.cli("ledger", "verify", "--json").stdout)
    assert report["verdict"] == "verified", report
