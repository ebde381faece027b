"""Which certificates are cut off, in which order, and how many at once."""

from dataclasses import replace

from appliance.authority.cutting.cutoff import cut_off, find_live, held_by
from appliance.authority.fold.records import IssuedCertificate
from appliance.authority.fold.state import KEPT_AFTER_EXPIRY_S, State
from appliance.identity.identity import Identity

NOW_S = 1_764_000_000
CAROL = Identity(provider="mtls", subject="carol", kind="user", authenticated_ms=NOW_S * 1000)


def certificate(seq: int) -> IssuedCertificate:
    """Return an issued certificate for alice that lasts an hour."""
    return IssuedCertificate(
        seq=seq,
        subject="mtls:alice",
        subject_key=b"k" * 32,
        ca_key="SHA256:ca",
        valid_after=0,
        valid_before=NOW_S + 3_600,
        outcome="issued",
        outcome_seq=seq + 1,
    )


def test_certificates_that_may_exist_are_cut_off_and_others_are_not() -> None:
    """Issued, under way, and failed or abandoned after the token was asked; not what was never signed."""
    issued = certificate(10)
    under_way = replace(certificate(12), outcome=None)
    abandoned = replace(certificate(14), outcome="abandoned", revoked=True)
    failed_signed = replace(certificate(16), outcome="failed", revoked=True)
    failed_unsigned = replace(certificate(18), outcome="failed")
    revoked = replace(certificate(20), revoked=True, revoked_seq=21)
    found = find_live([issued, under_way, abandoned, failed_signed, failed_unsigned, revoked], NOW_S)
    assert found == [issued, under_way, abandoned, failed_signed]


def test_expired_certificate_is_cut_off_for_another_day() -> None:
    """A host whose clock is behind still takes it."""
    expired = replace(certificate(10), valid_before=NOW_S - KEPT_AFTER_EXPIRY_S)
    assert find_live([expired], NOW_S) == [expired]
    assert find_live([expired], NOW_S + 1) == []


def test_cut_of_too_many_takes_what_is_unreleased_first_and_tells_how_many_are_left() -> None:
    """Nothing may be released while the rest is cut off by further commands."""
    under_way = replace(certificate(30), outcome=None)
    cut = cut_off(
        State(log_number=1),
        [certificate(10), certificate(20), under_way],
        reason="locked",
        by=40,
        now_s=NOW_S,
        most=2,
    )
    assert [event.data["serial"] for event in cut.events] == [str(1 << 48 | 30), str(1 << 48 | 10)]
    assert cut.left == 1


def test_cut_names_who_does_it_or_the_entry_that_causes_it() -> None:
    """An identity as the ledger has it, or a seq."""
    state = State(log_number=1)
    by_carol = cut_off(state, [certificate(10)], reason="lost", by=CAROL, now_s=NOW_S)
    by_lock = cut_off(state, [certificate(10)], reason="lost", by=40, now_s=NOW_S)
    assert by_carol.events[0].data["by"] == CAROL.to_data()
    assert by_lock.events[0].data == {"serial": str(1 << 48 | 10), "reason": "lost", "by": 40}


def test_certificates_of_subjects_are_those_of_each_of_them() -> None:
    """A person has several accounts; one that is unknown has no certificates."""
    mine, host = certificate(10), replace(certificate(12), subject="host:web-1.example.org")
    state = State(
        certificates={10: mine, 12: host},
        by_subject={"mtls:alice": {10: None}, "host:web-1.example.org": {12: None}},
    )
    assert held_by(state, ["mtls:alice", "ldap:alice", "host:web-1.example.org"]) == [mine, host]
