"""Grants with hours, requirements and delegates: what they give, and in which words they do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from appliance.identity.identity import Identity
from appliance.policy.check import check_policy
from appliance.policy.circumstances import PLAIN, Approval, Away, Circumstances
from appliance.policy.document import Policy, PolicyFile, parse_policy
from appliance.policy.evaluate import Denial, Profile, evaluate_user
from appliance.policy.holidays import with_holidays
from appliance.requests import UserRequest
from appliance.ssh.keys import format_public_key_line
from support.acme import ACME
from support.ssh_examples import public_key

KEYS = [format_public_key_line(public_key("ed25519", number)) for number in range(1, 5)]
HEAD = f"""{ACME}[[group]]
name = "owners"
members = ["mtls:ada", "mtls:bob", "oidc:bob", "mtls:carol", "mtls:dan"]
[[person]]
name = "ada"
identities = ["mtls:ada", "oidc:ada"]
keys = ["{KEYS[0]}"]
[[person]]
name = "bob"
identities = ["mtls:bob", "oidc:bob"]
keys = ["{KEYS[1]}"]
[[person]]
name = "carol"
identities = ["mtls:carol"]
keys = ["{KEYS[2]}"]
[[schedule]]
name = "office"
timezone = "Europe/Berlin"
windows = ["mon-fri 08:00-18:00"]
holidays = "DE"
[[operator]]
name = "carol"
keys = ["{KEYS[3]}"]
roles = ["admin"]
[[grant]]
name = "deploy"
who = {{ users = ["oidc:ada"] }}
on = ["web"]
as = ["deploy"]
"""
KEY = public_key("ed25519", 9)
HARDWARE = public_key("sk-ed25519", 9)
HOUR_S = 3_600


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


THURSDAY = moment("2026-04-02T10:00:00+02:00")  # the day before Good Friday
ADA = Identity(provider="oidc", subject="ada", kind="user", authenticated_ms=(THURSDAY - HOUR_S) * 1000)
ASKED = UserRequest(public_key=KEY)


def parse(limits: str) -> Policy:
    policy = parse_policy([PolicyFile(name="policy.toml", text=HEAD + limits)])
    check_policy(policy)
    return with_holidays(policy, THURSDAY)


def decide(
    limits: str,
    request: UserRequest = ASKED,
    *,
    now: int | str = THURSDAY,
    identity: Identity = ADA,
    circumstances: Circumstances = PLAIN,
) -> Profile | Denial:
    now_s = moment(now) if isinstance(now, str) else now
    outcome = evaluate_user(
        parse(limits), {}, identity, request, circumstances, now_s=now_s, max_ttl_s=31 * 24 * HOUR_S
    )
    return outcome if isinstance(outcome, Denial) else outcome[0]


def given(outcome: Profile | Denial) -> Profile:
    assert isinstance(outcome, Profile), outcome
    return outcome


def refused(outcome: Profile | Denial, rule: str, *words: str) -> Denial:
    assert isinstance(outcome, Denial)
    assert outcome.rule == rule
    assert all(word in outcome.detail for word in words), outcome.detail
    # What is shut would not have been allowed either.
    assert outcome.allowed == (() if rule in {"dates", "leave", "schedule", "time-left"} else ("deploy@web",))
    return outcome


def test_certificate_ends_when_its_schedule_shuts_and_the_bounds_are_there_for_the_record() -> None:
    profile = given(decide('when = "office"', now="2026-04-02T16:00:00+02:00"))
    assert profile.valid_before == moment("2026-04-02T18:00:00+02:00")
    assert profile.bounds is not None
    assert profile.bounds.scheduled
    assert profile.bounds.to_data() == {
        "opens_s": moment("2026-04-02T08:00:00+02:00"),
        "closes_s": moment("2026-04-02T18:00:00+02:00"),
    }


def test_certificate_is_not_dated_back_beyond_the_opening_of_its_schedule() -> None:
    profile = given(decide('when = "office"', now="2026-04-02T08:00:20+02:00"))
    assert profile.valid_after == moment("2026-04-02T08:00:00+02:00")


def test_grant_without_hours_has_no_bounds() -> None:
    assert given(decide("")).bounds is None


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-04-02T18:00:00+02:00", "2026-04-07T08:00:00+02:00"),  # Good Friday and Easter Monday between
        ("2026-04-02T07:59:59+02:00", "2026-04-02T08:00:00+02:00"),
        ("2026-03-27T20:00:00+01:00", "2026-03-30T08:00:00+02:00"),  # summer time begins on the Sunday
    ],
)
def test_schedule_that_is_shut_refuses_and_says_when_it_opens_again(now: str, opens: str) -> None:
    said = ("'office' (mon-fri 08:00-18:00 Europe/Berlin, not on holidays of DE)", f"opens again at {opens}")
    assert refused(decide('when = "office"', now=now), "schedule", *said).next_s == moment(opens)


def test_less_than_a_minute_left_is_refused_unless_less_was_asked_for() -> None:
    now = "2026-04-02T17:59:20+02:00"
    refused(decide('when = "office"', now=now), "time-left", "opens again at 2026-04-07T08:00:00+02:00")
    short = given(decide('when = "office"', replace(ASKED, ttl_s=50), now=now))
    assert short.valid_before == moment("2026-04-02T18:00:00+02:00")


@pytest.mark.parametrize(
    ("start", "begins"),
    [
        ("2026-04-02T12:00:00+02:00", "2026-04-02T12:00:00+02:00"),
        ("2026-04-02T06:00:00+02:00", "2026-04-02T08:00:00+02:00"),
        ("2026-04-01T06:00:00+02:00", "2026-04-02T08:00:00+02:00"),  # past: from now on
    ],
)
def test_start_that_was_asked_for_moves_to_the_next_opening(start: str, begins: str) -> None:
    request = replace(ASKED, start_s=moment(start))
    profile = given(decide('when = "office"', request, now="2026-04-01T19:00:00+02:00"))
    dated_back = 0 if begins.endswith("08:00:00+02:00") else 60
    assert profile.valid_after == moment(begins) - dated_back
    assert profile.valid_before == min(moment(begins) + 8 * HOUR_S, moment("2026-04-02T18:00:00+02:00"))


def test_start_more_than_a_day_ahead_is_refused() -> None:
    outcome = decide("", replace(ASKED, start_s=THURSDAY + 24 * HOUR_S + 1))
    assert isinstance(outcome, Denial)
    assert (outcome.rule, outcome.detail) == (
        "start",
        "a certificate begins within a day: at 2026-04-03T08:00:00Z at the latest",
    )
    opening = decide('when = "office"', replace(ASKED, start_s=THURSDAY + 23 * HOUR_S))
    refused(opening, "schedule", "opens again at 2026-04-07")


def test_days_are_whole_and_in_utc_without_a_schedule() -> None:
    limits = 'from = "2026-04-02"\nuntil = "2026-04-03"\nttl = "30d"'
    profile = given(decide(limits))
    assert profile.valid_before == moment("2026-04-04T00:00:00+00:00")
    assert profile.bounds is not None
    assert not profile.bounds.scheduled
    assert given(decide(limits, now="2026-04-02T00:00:10+00:00")).valid_after == moment(
        "2026-04-02T00:00+00:00"
    )
    early = refused(
        decide(limits, now="2026-04-01T23:59:59+00:00"), "dates", "from 2026-04-02 until 2026-04-03"
    )
    assert early.next_s == moment("2026-04-02T00:00:00+00:00")
    late = refused(decide(limits, now="2026-04-04T00:00:00+00:00"), "dates", "it does not open again")
    assert late.next_s is None


def test_days_are_those_of_the_schedules_zone() -> None:
    limits = 'from = "2026-04-02"\nwhen = "office"'
    early = refused(decide(limits, now="2026-03-31T12:00:00+02:00"), "dates")
    assert early.next_s == moment("2026-04-02T08:00:00+02:00")


def test_leave_ends_certificates_and_gives_access_back_afterwards() -> None:
    away = Away(starts_s=THURSDAY + HOUR_S, ends_s=THURSDAY + 100 * HOUR_S)
    on_leave = Circumstances(leaves=(away,))
    assert given(decide("", circumstances=on_leave)).valid_before == away.starts_s
    outcome = decide("", now=away.starts_s, circumstances=on_leave)
    assert refused(outcome, "leave", "opens again at 2026-04-06T12:00:00Z").next_s == away.ends_s
    back = given(decide("", now=away.ends_s + 10, circumstances=on_leave))
    assert back.valid_after == away.ends_s


@pytest.mark.parametrize(
    ("require", "request_", "identity", "rule", "said"),
    [
        (
            'key_types = ["ssh-rsa", "sk-ssh-ed25519@openssh.com"]',
            ASKED,
            ADA,
            "require.key_types",
            "a key of the type sk-ssh-ed25519@openssh.com or ssh-rsa; got ssh-ed25519",
        ),
        ("mfa = true", ASKED, ADA, "require.mfa", "more than one factor"),
        ('max_auth_age = "59m"', ASKED, ADA, "require.max_auth_age", "within the last 59m"),
        ("reason = true", ASKED, ADA, "require.reason", "a reason"),
        (
            'approvals = 2, approvers = ["owners"]',
            ASKED,
            ADA,
            "require.approvals",
            "2 approvals by members of owners other than you",
        ),
    ],
)
def test_requirement_that_is_not_met_refuses_and_says_what_is_missing(
    require: str, request_: UserRequest, identity: Identity, rule: str, said: str
) -> None:
    refused(decide(f"require = {{ {require} }}", request_, identity=identity), rule, said)


def test_requirements_that_are_met_give_a_certificate() -> None:
    require = (
        'require = { key_types = ["sk-ssh-ed25519@openssh.com"], verify = true, touch = true, mfa = true, '
        'max_auth_age = "1h", reason = true }'
    )
    request = UserRequest(public_key=HARDWARE, reason="ticket 7")
    profile = given(decide(require, request, identity=replace(ADA, mfa=True)))
    assert profile.verify
    assert not given(decide("")).verify


def test_verified_users_share_no_certificate_with_others() -> None:
    other = """
[[grant]]
name = "other"
who = { users = ["oidc:ada"] }
on = ["web"]
as = ["other"]
require = { key_types = ["sk-ssh-ed25519@openssh.com"], verify = true }
"""
    outcome = evaluate_user(
        parse(other), {}, ADA, UserRequest(public_key=HARDWARE), now_s=THURSDAY, max_ttl_s=24 * HOUR_S
    )
    assert isinstance(outcome, tuple)
    assert {(profile.principals, profile.verify) for profile in outcome} == {
        (("deploy@web",), False),
        (("other@web",), True),
    }


@pytest.mark.parametrize(
    ("given_by", "enough"),
    [
        ({"bob", "carol"}, True),
        ({"bob", "carol", "eve"}, True),
        ({"bob", "mtls:dan"}, True),  # an account that no person has counts as one
        ({"bob"}, False),
        ({"bob", "ada"}, False),  # his own, by another account
        ({"bob", "eve"}, False),  # not one of the owners
    ],
)
def test_approvals_count_persons_among_the_approvers_without_the_requester(
    given_by: set[str], enough: bool
) -> None:
    limits = 'require = { approvals = 2, approvers = ["owners"] }'
    approval = Approval(seq=7, grant="deploy", given_by=frozenset(given_by), ends_s=THURSDAY + 600)
    outcome = decide(limits, circumstances=Circumstances(approvals=(approval,)))
    if enough:
        assert given(outcome).valid_before == approval.ends_s
    else:
        refused(outcome, "require.approvals")


@pytest.mark.parametrize(
    ("grant", "ends_s"), [("other", THURSDAY + 600), ("deploy", THURSDAY), ("deploy", THURSDAY + 59)]
)
def test_approval_of_another_grant_or_one_that_is_over_gives_nothing(grant: str, ends_s: int) -> None:
    limits = 'require = { approvals = 1, approvers = ["owners"] }'
    approval = Approval(seq=7, grant=grant, given_by=frozenset({"bob"}), ends_s=ends_s)
    refused(decide(limits, circumstances=Circumstances(approvals=(approval,))), "require.approvals")


def test_approval_that_lasts_longest_counts() -> None:
    limits = 'require = { approvals = 1, approvers = ["owners"] }'
    approvals = tuple(
        Approval(seq=seq, grant="deploy", given_by=frozenset({by}), ends_s=THURSDAY + lasts_s)
        for seq, by, lasts_s in ((1, "bob", 600), (2, "ada", 7_000), (3, "carol", 900))
    )
    profile = given(decide(limits, circumstances=Circumstances(approvals=approvals)))
    assert profile.valid_before == THURSDAY + 900


PORTAL = Identity(provider="mtls", subject="portal", kind="service", authenticated_ms=0)


def test_delegate_asks_only_where_the_grant_names_him() -> None:
    by_portal = Circumstances(delegate=PORTAL)
    assert given(decide('delegates = ["mtls:portal"]', circumstances=by_portal)).principals == ("deploy@web",)
    refused(decide("", circumstances=by_portal), "delegates", "does not let mtls:portal ask")


@pytest.mark.parametrize(("key", "value"), [("mfa", "true"), ("max_auth_age", '"2h"')])
def test_delegate_cannot_have_signed_in_for_another(key: str, value: str) -> None:
    limits = f'delegates = ["mtls:portal"]\nrequire = {{ {key} = {value} }}'
    signed_in = replace(ADA, mfa=True)
    assert given(decide(limits, identity=signed_in))
    outcome = decide(limits, identity=signed_in, circumstances=Circumstances(delegate=PORTAL))
    refused(outcome, f"require.{key}", "by yourself")


def test_years_whose_holidays_are_not_on_record_are_shut() -> None:
    refused(decide('when = "office"', now="2037-04-01T10:00:00+02:00"), "schedule", "does not open again")


@pytest.mark.parametrize("when", ["", 'when = "office"\n'])
@pytest.mark.parametrize("days", ['until = "9999-12-31"', 'from = "0001-01-01"\nuntil = "9999-12-31"'])
def test_first_and_last_day_of_all_are_no_bounds(days: str, when: str) -> None:
    outcome, plain = given(decide(when + days)), given(decide(when))
    assert replace(outcome, grants=()) == replace(plain, grants=())
