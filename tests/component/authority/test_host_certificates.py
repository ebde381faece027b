"""Which certificate of a host the authority would give it: the newest that is good for something."""

from __future__ import annotations

from pathlib import Path

from appliance.authority.fold.state import KEPT_AFTER_EXPIRY_S
from appliance.authority.issuing.releases import Release
from appliance.requests import HostRequest
from support.authority import NOW_MS, TestAuthority, identity, running_authority
from support.ssh_examples import public_key

HOST = "web-1.acme.example"
CAROL = identity("carol")
NOW_S = NOW_MS // 1000


def certify(authority: TestAuthority) -> int:
    """Have a host certificate issued; return the seq of its intent."""
    release = authority.ask(CAROL, HostRequest(public_key=public_key("ed25519"), host=HOST, ttl_s=3_600))
    assert isinstance(release, Release)
    return release.certificates[0].seq


def newest(authority: TestAuthority, now_s: int = NOW_S) -> int | None:
    found = authority.state.newest_host_certificate(HOST, now_s)
    return None if found is None else found.seq


def test_newest_certificate_that_is_valid_is_found_after_a_later_one_is_revoked(tmp_path: Path) -> None:
    with running_authority(tmp_path / "ledger.db") as authority:
        assert newest(authority) is None
        first, second = certify(authority), certify(authority)
        assert newest(authority) == second
        authority.revoke(serial=str(authority.state.serial(second)))
        assert newest(authority) == first
        assert newest(authority, NOW_S + 3_600) is None


def test_certificate_that_expired_long_ago_is_forgotten(tmp_path: Path) -> None:
    with running_authority(tmp_path / "ledger.db") as authority:
        certify(authority)
        assert authority.state.by_subject != {}
        authority.state._forget(NOW_S + 3_600 + KEPT_AFTER_EXPIRY_S + 1)
        assert authority.state.by_subject == {}
