"""What a CA's KRL is made of, when it is made again, and which bytes are signed. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from appliance.authority.fold.state import State
from appliance.authority.publishing.bundle import FRESH_S
from appliance.authority.publishing.krl import NAMESPACE, BadKrl, MadeKrl, check_krl, make_krl, view_krl
from appliance.errors import Refusal
from appliance.ssh.keys import fingerprint
from appliance.ssh.krl import Krl, decode_krl
from appliance.ssh.serials import Range
from appliance.ssh.sshsig import build_sshsig, format_armored_sshsig
from audit.ledger import Ledger
from audit.stores.memory import MemoryStore
from support.authority import NOW_MS, ORIGIN, identity, seed_entries
from support.ssh_examples import private_key, public_key

NOW_S = NOW_MS // 1000
USERS, HOSTS = public_key("nistp256", 11), public_key("ed25519", 11)
KEY, OTHER_KEY = public_key("ed25519", 2), public_key("ed25519", 3)
BASE = 1 << 48
CAROL = identity("carol").to_data()
Data = dict[str, object]


def revoked_range(ca_key: str, first: int, last: int) -> tuple[str, Data]:
    serials = {"first": str(first), "last": str(last)}
    return "certificate.revoked", {"ca_key": ca_key, "range": serials, "reason": "x", "by": CAROL}


def state(*more: tuple[str, Data]) -> State:
    folded = State()
    with Ledger.create(MemoryStore()).batch(NOW_MS) as batch:
        for kind, data in [*seed_entries(), *more]:
            folded.apply(batch.append(kind, data))
    return folded


def made(folded: State, ca: str = "users", now_s: int = NOW_S) -> MadeKrl:
    return make_krl(view_krl(folded, ca, now_s))


def krl(folded: State, ca: str = "users") -> Krl:
    return decode_krl(made(folded, ca).krl)


def test_krl_of_nothing_revoked_says_which_ledger_it_is_of() -> None:
    folded = state()
    found = krl(folded)
    assert (found.certificates, found.key_digests) == ((), ())
    assert (found.version, found.generated_s) == (BASE | folded.size, NOW_S)


def test_krl_has_serials_of_this_log_and_ranges_of_any() -> None:
    folded = state(revoked_range(fingerprint(USERS), 2 * BASE + 5, 2 * BASE + 9))
    folded.revoked.add(fingerprint(USERS), 17)
    folded.revoked.add(fingerprint(USERS), 18)
    (revoked,) = krl(folded).certificates
    assert revoked.ca_key == USERS
    assert revoked.ranges == (Range(BASE + 17, BASE + 18), Range(2 * BASE + 5, 2 * BASE + 9))


def test_krl_is_of_users_or_of_hosts_and_covers_every_ca_of_the_customer() -> None:
    folded = state(revoked_range(fingerprint(USERS), 5, 5), revoked_range(fingerprint(HOSTS), 6, 6))
    folded.cas["old-users"] = replace(folded.cas["users"], name="old-users", keys=())
    elsewhere = replace(folded.cas["hosts"], name="others", type="user", customer="other")
    folded.cas["others"] = elsewhere
    assert [each.ca_key for each in krl(folded, "users").certificates] == [USERS]
    assert [each.ca_key for each in krl(folded, "hosts").certificates] == [HOSTS]
    assert [each.ca_key for each in krl(folded, "others").certificates] == [HOSTS]


def test_krl_has_the_keys_that_are_revoked_or_locked_until_they_are_lifted() -> None:
    revoke: Data = {"key": fingerprint(KEY), "reason": "x", "by": CAROL}
    lock: Data = {"kind": "key", "name": fingerprint(OTHER_KEY), "reason": "x", "by": CAROL}
    folded = state(("certificate.revoked", revoke), ("lock.placed", lock))
    digests = {hashlib.sha256(key.blob).digest() for key in (KEY, OTHER_KEY)}
    assert set(krl(folded).key_digests) == digests
    before = folded.revoked.changes
    folded.locks.lift(folded.size - 1)
    assert set(krl(folded).key_digests) == {hashlib.sha256(KEY.blob).digest()}
    assert folded.revoked.changes == before


def test_every_revocation_makes_a_krl_anew_and_one_that_repeats_it_does_not() -> None:
    folded = state()
    first = made(folded)
    assert first.says(first.ca_key, folded.revoked.changes, NOW_S)
    folded.revoked.add(fingerprint(USERS), 17)
    assert not first.says(first.ca_key, folded.revoked.changes, NOW_S)
    second = made(folded)
    folded.revoked.add(fingerprint(USERS), 17)
    assert second.says(second.ca_key, folded.revoked.changes, NOW_S)


@pytest.mark.parametrize(
    ("age_s", "says"), [(0, True), (FRESH_S // 2 - 1, True), (FRESH_S // 2, False), (-1, False)]
)
def test_statement_is_given_again_until_half_of_its_time_is_over(age_s: int, says: bool) -> None:
    folded = state()
    first = made(folded)
    assert first.says(first.ca_key, folded.revoked.changes, NOW_S + age_s) is says


def test_statement_is_these_bytes() -> None:
    folded = state()
    found = made(folded)
    assert found.statement == (
        f"chancery/krl/v1\n{ORIGIN}\n{fingerprint(USERS)}\n{BASE | folded.size}\n"
        f"{hashlib.sha256(found.krl).hexdigest()}\n{NOW_S}\n{NOW_S + FRESH_S}\n"
    )


def test_ca_that_there_is_not_has_no_krl() -> None:
    with pytest.raises(Refusal) as refused:
        view_krl(state(), "user", NOW_S)
    assert refused.value.slug == "not-found"


def signed(statement: str, namespace: str = NAMESPACE) -> str:
    return format_armored_sshsig(build_sshsig(private_key("ed25519", 20), namespace, statement.encode()))


def test_check_takes_what_the_bundle_key_signed_and_nothing_else() -> None:
    found = made(state())
    pinned = {"origin": ORIGIN, "bundle_key": public_key("ed25519", 20)}

    def check(krl: bytes, statement: str, signature: str, after_s: int = 0) -> str:
        return check_krl(krl, statement, signature, now_s=NOW_S + after_s, **pinned)  # type: ignore[arg-type]

    good = signed(found.statement)
    assert check(found.krl, found.statement, good) == fingerprint(USERS)
    other = found.statement.replace(ORIGIN, "ca.example.net/log/1")
    for krl, statement, signature, after_s in (
        (found.krl + b"\0", found.statement, good, 0),
        (found.krl, found.statement, signed(found.statement, "bundle@chancery"), 0),
        (found.krl, found.statement.replace("\n", "\n ", 1), good, 0),
        (found.krl, other, signed(other), 0),
        (found.krl, found.statement, good, FRESH_S),
        (found.krl, found.statement, "", 0),
    ):
        with pytest.raises(BadKrl):
            check(krl, statement, signature, after_s)
