"""The rate of one identity: all of a batch or nothing, others untouched, and a time to come again."""

from __future__ import annotations

import pytest

from appliance.authority.fold.records import AppliedPolicy
from appliance.authority.issuing.rates import Rates
from appliance.buckets import Rate
from appliance.errors import Refusal
from appliance.policy.check import check_policy
from appliance.policy.document import PolicyError, PolicyFile, parse_policy
from appliance.ssh.keys import format_public_key_line
from support.authority import identity
from support.ssh_examples import public_key

CI = identity("ci", provider="api", kind="service")
OTHER = identity("other", provider="api", kind="service")
POLICY = f"""
version = 1
[[group]]
name = "builders"
members = ["api:ci", "mtls:alice"]
[[operator]]
name = "carol"
keys = ["{format_public_key_line(public_key("ed25519", 7))}"]
roles = ["admin"]
[[appliance.limit]]
name = "builders"
who = {{ groups = ["builders", "oidc:bots"] }}
certificates_per_minute = 30
burst = 3
[[appliance.limit]]
name = "ci"
who = {{ services = ["api:ci"] }}
certificates_per_minute = 2
"""


class Clock:
    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


class InForce:
    """The policy in force, as the authority has it."""

    def __init__(self, text: str = POLICY) -> None:
        self.seq = 0
        self.apply(text)

    def __call__(self) -> AppliedPolicy:
        return self.applied

    def apply(self, text: str) -> None:
        policy = parse_policy([PolicyFile(name="policy.toml", text=text)])
        check_policy(policy)
        self.seq += 1
        self.applied = AppliedPolicy(seq=self.seq, policy=policy)


def limited(clock: Clock, in_force: InForce) -> Rates:
    return Rates(Rate(per_s=100, burst=1_000), clock_s=clock, applied=in_force)


def test_burst_is_let_in_and_the_next_is_told_when_to_come_again() -> None:
    clock = Clock()
    rates = Rates(Rate(per_s=0.5, burst=3), clock_s=clock)
    for _ in range(3):
        rates.charge(CI)
    with pytest.raises(Refusal, match=r"api:ci may ask for 0\.5 certificates a second") as refused:
        rates.charge(CI)
    assert (refused.value.slug, refused.value.members) == ("rate-limited", {"retry_after_s": 2})
    rates.charge(OTHER)
    clock.now_s += 2
    rates.charge(CI)


def test_batch_is_let_in_whole_or_not_at_all() -> None:
    rates = Rates(Rate(per_s=10, burst=1_000), clock_s=Clock())
    rates.charge(CI, 600)
    with pytest.raises(Refusal) as refused:
        rates.charge(CI, 401)
    assert refused.value.members["retry_after_s"] == 1
    rates.charge(CI, 400)


def test_no_rate_is_no_limit() -> None:
    rates = Rates(None, clock_s=Clock())
    for _ in range(10_000):
        rates.charge(CI, 1_000)


def test_every_limit_of_the_policy_that_covers_an_identity_holds() -> None:
    clock, in_force = Clock(), InForce()
    rates = limited(clock, in_force)
    rates.charge(CI, 2)
    with pytest.raises(Refusal, match=r"2 certificates a minute, and for 2 at once .*'ci'") as refused:
        rates.charge(CI)
    assert (refused.value.slug, refused.value.members) == ("rate-limited", {"retry_after_s": 30})
    clock.now_s += 30
    rates.charge(CI)
    for who in (identity("alice"), identity("bot", provider="oidc", groups=frozenset({"oidc:bots"}))):
        rates.charge(who, 3)
        with pytest.raises(Refusal, match=r"30 certificates a minute, and for 3 at once .*'builders'"):
            rates.charge(who)
    rates.charge(OTHER, 1_000)


def test_what_one_limit_refuses_is_charged_to_no_other() -> None:
    clock = Clock()
    rates = limited(clock, InForce())
    rates.charge(CI, 2)
    for _ in range(5):
        with pytest.raises(Refusal, match="'ci'"):
            rates.charge(CI)
    clock.now_s += 30
    rates.charge(CI)  # had the refused ones counted for the builders, it would be their turn to refuse


def test_more_than_a_limit_ever_lets_in_at_once_is_refused_for_good() -> None:
    with pytest.raises(Refusal, match=r"asks for 3 certificates at once, .*: ask in parts") as refused:
        limited(Clock(), InForce()).charge(CI, 3)
    assert (refused.value.slug, refused.value.members) == ("policy-denied", {"rule": "limit ci"})


def test_policy_that_leaves_a_limit_as_it_is_gives_nothing_back_and_one_that_lifts_it_does() -> None:
    in_force = InForce()
    rates = limited(Clock(), in_force)
    rates.charge(CI, 2)
    in_force.apply(POLICY + "# another\n")
    with pytest.raises(Refusal):
        rates.charge(CI)
    in_force.apply(POLICY.partition("[[appliance.limit]]")[0])
    rates.charge(CI, 500)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('groups = ["builders", "oidc:bots"]', "", 'limit "builders": who: names nobody'),
        ('"builders", "oidc:bots"', '"bilders"', "there is no group 'bilders'"),
        ('name = "ci"', 'name = "builders"', 'limit "builders": there is another one of this name'),
        ("certificates_per_minute = 2", "certificates_per_minute = 0", "certificates_per_minute"),
        ("certificates_per_minute = 2", "", "is missing"),
        ("burst = 3", "bust = 3", "what it does not know it refuses"),
    ],
)
def test_limit_that_means_nothing_is_found_by_the_check(old: str, new: str, said: str) -> None:
    assert old in POLICY
    with pytest.raises(PolicyError) as found:
        InForce(POLICY.replace(old, new))
    assert said in str(found.value)
