"""`chancery doctor` and `chancery status` about the token: what is wrong, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.service import Service, make_disturbed_service
from support.shim import Shim
from support.tokens import eventually


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Service, Shim]:
    return make_disturbed_service(tmp_path_factory.mktemp("doctor"))


def token_findings(service: Service) -> dict[str, str]:
    found = json.loads(service.cli("doctor", "--json", check=False).stdout)
    return {each["verdict"]: each["detail"] for each in found if each["check"] == "token"}


def test_doctor_opens_the_token_when_the_service_does_not_run(disturbed: tuple[Service, Shim]) -> None:
    service, _ = disturbed
    detail = token_findings(service)["ok"]
    assert "opens and holds 5 keys" in detail
    assert "ecdsa-p256" in detail


def test_doctor_says_what_is_wrong(disturbed: tuple[Service, Shim]) -> None:
    service, shim = disturbed
    pin = service.data / "token" / "pin"
    good = pin.read_text()
    try:
        pin.write_text("not the PIN\n")
        detail = token_findings(service)["problem"]
        assert "refused the PIN" in detail
        assert "lock-out" in detail
        assert "not the PIN\n" not in detail
    finally:
        pin.write_text(good)
    shim.removed = 1
    assert "0 tokens" in token_findings(service)["problem"]
    shim.calm()


def test_doctor_survives_a_module_that_crashes(disturbed: tuple[Service, Shim], tmp_path: Path) -> None:
    service, _ = disturbed
    configuration = service.data / "chancery.toml"
    text = configuration.read_text()
    broken = tmp_path / "module.so"
    broken.write_bytes(b"not a module")
    lines = [f'module = "{broken}"' if line.startswith("module =") else line for line in text.split("\n")]
    try:
        configuration.write_text("\n".join(lines))
        assert "cannot be loaded" in token_findings(service)["problem"]
        broken.unlink()
        assert "there is no such module" in token_findings(service)["problem"]
    finally:
        configuration.write_text(text)


def test_status_tells_the_last_trouble_and_doctor_asks_the_authority(
    disturbed: tuple[Service, Shim],
) -> None:
    service, shim = disturbed

    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(service.cli("status", "--json", check=False).stdout)
        return found

    with service.running():
        assert status()["token"]["last_trouble"] is None
        shim.need_login = 1
        eventually(lambda: bool(status()["probe"]["ready"]) and bool(status()["token"]["last_trouble"]))
        text = service.cli("status").stdout
        assert "a new login was tried" in text
        assert "sessions busy" in text
        found = token_findings(service)
        assert "signs in 4 sessions" in found["ok"]
        assert (
            "a new login was tried: token 'chancery' made no signature: UserNotLoggedIn" in found["warning"]
        )
        metrics = service.probe("/metrics").body.decode()
        assert 'chancery_token_recoveries_total{cause="UserNotLoggedIn",rung="login"} 1.0' in metrics
        assert "chancery_token_ready 1.0" in metrics
        shim.removed = 1
        shim.need_initialize = 1
        eventually(lambda: status()["token"]["condition"] == "recovering")
        assert "0 tokens" in token_findings(service)["problem"]
        assert "chancery_token_ready 0.0" in service.probe("/metrics").body.decode()
        assert service.cli("status", check=False).returncode == 1
        shim.calm()
        eventually(lambda: not status()["problems"])
