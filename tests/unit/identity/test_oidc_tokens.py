"""Tokens of an OpenID provider: who they identify, and every way in which one identifies nobody."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, RSAKey

from appliance.identity.errors import InvalidCredential, ProviderUnavailable
from appliance.identity.identity import Identity
from appliance.identity.jwt import is_token
from appliance.identity.oidc import MAX_TOKEN, OidcProvider, Tokens
from appliance.identity.oidc_keys import FRESH_S, REFETCH_S, STALE_S, WAIT_S, KeyCache
from appliance.identity.settings import OidcTable
from support.authority import NOW_MS
from support.issuer import (
    AUDIENCE,
    ISSUER,
    Issuer,
    claims,
    encode,
    encode_bytes,
    sign_with,
    sign_with_public_key,
    unsigned,
)

NOW_S = NOW_MS // 1000


class Clock:
    """A monotonic clock and a wall clock that the test sets."""

    def __init__(self) -> None:
        self.s = 1_000.0
        self.wall_ms = NOW_MS

    def __call__(self) -> float:
        return self.s


def tokens(issuer: Issuer, clock: Clock | None = None, **settings: Any) -> Tokens:
    clock = clock or Clock()
    fields: dict[str, Any] = {"name": "oidc", "issuer": ISSUER, "audience": AUDIENCE}
    table = OidcTable(**(fields | settings))
    provider = OidcProvider(table, KeyCache(ISSUER, issuer.fetch, clock_s=clock))
    return Tokens((provider,), now_ms=lambda: clock.wall_ms)


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer("ES256", "RS256", "PS256", "Ed25519")


def identify(issuer: Issuer, changes: dict[str, Any] | None = None, **settings: Any) -> Identity:
    return tokens(issuer, **settings).identify(issuer.sign(claims(NOW_S, **(changes or {}))))


def refused(issuer: Issuer, token: str, **settings: Any) -> str:
    with pytest.raises(InvalidCredential) as raised:
        tokens(issuer, **settings).identify(token)
    return str(raised.value)


def test_good_token_is_the_identity_of_its_subject(issuer: Issuer) -> None:
    assert identify(issuer) == Identity(
        provider="oidc",
        subject="ada",
        kind="user",
        claims=(("iss", ISSUER),),
        authenticated_ms=(NOW_S - 60) * 1000,
    )


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "Ed25519"])
def test_every_allowed_algorithm_is_verified(issuer: Issuer, algorithm: str) -> None:
    token = issuer.sign(claims(NOW_S), algorithm)
    assert tokens(issuer, algorithms=(algorithm,)).identify(token).subject == "ada"
    broken = token[:-9] + ("A" if token[-9] != "A" else "B") + token[-8:]
    assert "signature" in refused(issuer, broken, algorithms=(algorithm,))


def test_algorithm_that_is_not_allowed_is_refused_although_the_signature_is_good(issuer: Issuer) -> None:
    assert "PS256" in refused(issuer, issuer.sign(claims(NOW_S), "PS256"))


def test_key_of_one_kind_is_not_used_with_the_algorithm_of_another(issuer: Issuer) -> None:
    header = {"alg": "ES256", "kid": "RS256"}
    assert "signature" in refused(issuer, sign_with(issuer.keys["ES256"], header, claims(NOW_S)))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "ES256"},
        {"alg": "None", "kid": "ES256"},
        {"alg": "", "kid": "ES256"},
        {"kid": "ES256"},
        {"alg": ["ES256"], "kid": "ES256"},
        {"alg": "ES256"},
        {"alg": "ES256", "kid": 1},
        {"alg": "ES256", "kid": "ES256"},
    ],
    ids=str,
)
def test_unsigned_token_is_refused(issuer: Issuer, header: dict[str, Any]) -> None:
    assert refused(issuer, unsigned(claims(NOW_S), header))


def test_public_key_is_no_shared_secret(issuer: Issuer) -> None:
    key = issuer.keys["RS256"]
    assert isinstance(key, RSAKey)
    pem = key.as_pem(private=False)
    assert "HS256" in refused(issuer, sign_with_public_key(pem, claims(NOW_S), "RS256"))


def test_key_in_the_tokens_own_header_is_not_believed(issuer: Issuer) -> None:
    own = ECKey.generate_key("P-256")
    header = {"alg": "ES256", "kid": "ES256", "jwk": own.as_dict(private=False)}
    assert "signature" in refused(issuer, sign_with(own, header, claims(NOW_S)))
    header = {"alg": "ES256", "kid": "own", "jku": "https://evil.example.org/keys"}
    assert "no key" in refused(issuer, sign_with(own, header, claims(NOW_S)))


@pytest.mark.parametrize("kind", ["at+jwt", "logout+jwt", "application/at+jwt", "", 7])
def test_token_of_another_kind_is_refused(issuer: Issuer, kind: Any) -> None:
    header = {"alg": "ES256", "kid": "ES256", "typ": kind}
    token = f"{encode(header)}.{encode(claims(NOW_S))}.AAAA"
    assert "of the type" in refused(issuer, token)
    assert identify(issuer).subject == "ada"


def test_critical_header_that_is_not_understood_is_refused(issuer: Issuer) -> None:
    token = issuer.sign(claims(NOW_S))
    header = encode({"alg": "ES256", "kid": "ES256", "crit": ["b64"], "b64": False})
    assert refused(issuer, ".".join([header, *token.split(".")[1:]]))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example.org"},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": []},
        {"aud": [AUDIENCE, 1]},
        {"aud": {"chancery": True}},
        {"aud": [AUDIENCE, "another"]},
        {"aud": [AUDIENCE, "another"], "azp": "another"},
        {"azp": "another"},
        {"exp": NOW_S - 60},
        {"exp": None},
        {"exp": "2030-01-01"},
        {"exp": True},
        {"exp": 2**60},
        {"nbf": NOW_S + 61},
        {"iat": NOW_S + 61},
        {"iat": None},
        {"iat": NOW_S - 90_000},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "ada\n"},
        {"sub": "a" * 256},
        {"auth_time": "yesterday"},
        {"amr": "mfa"},
        {"amr": [1]},
        {"groups": "admins"},
        {"groups": [["admins"]]},
        {"groups": ["g"] * 501},
    ],
    ids=str,
)
def test_token_whose_claims_do_not_fit_is_refused(issuer: Issuer, changes: dict[str, Any]) -> None:
    assert refused(issuer, issuer.sign(claims(NOW_S, **changes)), groups="groups")


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW_S - 59},
        {"nbf": NOW_S + 60},
        {"iat": NOW_S + 60},
        {"aud": [AUDIENCE]},
        {"aud": ["another", AUDIENCE], "azp": AUDIENCE},
        {"exp": NOW_S + 600.5},
    ],
    ids=str,
)
def test_clocks_may_differ_by_the_skew_and_audiences_be_several(
    issuer: Issuer, changes: dict[str, Any]
) -> None:
    assert identify(issuer, changes).subject == "ada"


def test_groups_carry_the_providers_name_and_only_those_of_the_configured_claim_count(issuer: Issuer) -> None:
    both = {"groups": ["dba", "dba", " odd "], "roles": ["admin"]}
    assert identify(issuer, both, groups="groups").groups == {"oidc:dba"}
    assert identify(issuer, both).groups == frozenset()


@pytest.mark.parametrize(
    ("changes", "relied"),
    [
        ({"amr": ["pwd", "mfa"]}, (("amr", "mfa"),)),
        ({"amr": ["pwd", "hwk", "otp"]}, (("amr", "hwk"), ("amr", "otp"))),
        ({"acr": "high"}, (("acr", "high"),)),
        ({"amr": ["pwd"], "acr": "low"}, ()),
        ({}, ()),
    ],
)
def test_more_than_one_factor_is_what_the_configuration_says_and_goes_on_record(
    issuer: Issuer, changes: dict[str, Any], relied: tuple[tuple[str, str], ...]
) -> None:
    found = identify(issuer, changes, mfa_amr=("mfa", "hwk", "otp"), mfa_acr=("high",))
    assert found.claims == (("iss", ISSUER), *relied)
    assert found.mfa is bool(relied)


def test_time_of_authentication_is_that_of_the_token_if_the_provider_does_not_say(issuer: Issuer) -> None:
    assert identify(issuer, {"auth_time": None}).authenticated_ms == (NOW_S - 10) * 1000


def test_token_whose_groups_are_elsewhere_is_refused_where_groups_count(issuer: Issuer) -> None:
    overage = {
        "_claim_names": {"groups": "src1"},
        "_claim_sources": {"src1": {"endpoint": "https://graph.example.org/"}},
    }
    token = issuer.sign(claims(NOW_S, **overage))
    assert "too many" in refused(issuer, token, groups="groups")
    assert identify(issuer, overage).groups == frozenset()
    assert identify(issuer, overage | {"roles": ["dba"]}, groups="roles").groups == {"oidc:dba"}
    assert identify(issuer, {"_claim_names": 5}, groups="groups").groups == frozenset()


def test_token_without_a_claim_that_it_must_have_identifies_nobody(issuer: Issuer) -> None:
    """As of a CI job that has named the people's client as its audience."""
    of_job = {
        "sub": "project_path:evil/job:ref_type:branch:ref:main",
        "groups_direct": ["dba"],
        "auth_time": None,
    }
    settings: dict[str, Any] = {"groups": "groups_direct", "must_have": ("auth_time",)}
    assert identify(issuer, {"groups_direct": ["dba"]}, **settings).groups == {"oidc:dba"}
    token = issuer.sign(claims(NOW_S, **of_job))
    assert "auth_time" in refused(issuer, token, **settings)
    assert tokens(issuer, groups="groups_direct").identify(token).groups == {"oidc:dba"}, "or else it would"


def test_subject_is_the_claim_that_the_configuration_names(issuer: Issuer) -> None:
    assert identify(issuer, {"oid": "0b1c"}, subject="oid").subject == "0b1c"


KUBERNETES = {"kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "builder", "uid": "1"}}}


@pytest.mark.parametrize(
    ("template", "more", "subject"),
    [
        ("{project_path}:{ref}", {"project_path": "infra/deploy", "ref": "main"}, "infra/deploy:main"),
        (
            "{kubernetes.io.namespace}:{kubernetes.io.serviceaccount.name}",
            KUBERNETES,
            "ci:builder",
        ),
        ("sub", {"sub": "system:serviceaccount:ci:builder"}, "system:serviceaccount:ci:builder"),
    ],
)
def test_workload_is_a_service_named_by_its_claims(
    issuer: Issuer, template: str, more: dict[str, Any], subject: str
) -> None:
    found = identify(issuer, more, kind="service", subject=template)
    assert (found.kind, found.subject) == ("service", subject)


@pytest.mark.parametrize("more", [{"ref": "a:b"}, {"ref": ""}, {"ref": 7}, {}, {"ref": ":main"}], ids=str)
def test_claim_that_could_be_taken_for_two_is_no_part_of_a_subject(
    issuer: Issuer, more: dict[str, Any]
) -> None:
    token = issuer.sign(claims(NOW_S, project_path="infra", **more))
    assert "ref" in refused(issuer, token, kind="service", subject="{project_path}:{ref}")


@pytest.mark.parametrize(
    "text", ["", "eyJ", "eyJ..", "eyJhbGciOiJFUzI1NiJ9.e30.", "eyJ!.eyJ.eyJ", "eyJ" + "9" * 90 + ".e30.e30"]
)
def test_what_is_no_jwt_in_form_is_refused(issuer: Issuer, text: str) -> None:
    assert refused(issuer, text)


def test_member_that_is_there_twice_is_refused(issuer: Issuer) -> None:
    head, _, tail = issuer.sign(claims(NOW_S)).split(".")
    doubled = encode_bytes(b'{"iss":"a","iss":"b"}')
    assert "no JWT" in refused(issuer, f"{head}.{doubled}.{tail}")


def test_oversized_token_is_refused_before_it_is_parsed(issuer: Issuer) -> None:
    token = issuer.sign(claims(NOW_S, padding="x" * MAX_TOKEN))
    assert refused(issuer, token) == f"a token of {len(token)} characters"


def test_token_has_the_look_of_one(issuer: Issuer) -> None:
    assert is_token(issuer.sign(claims(NOW_S)))
    assert not is_token("chancery1.0123456789abcdef." + "s" * 43)


def test_rotated_key_is_fetched_and_the_old_one_is_dropped() -> None:
    issuer, clock = Issuer("ES256"), Clock()
    known = tokens(issuer, clock)
    old = issuer.sign(claims(NOW_S))
    assert known.identify(old).subject == "ada"
    del issuer.keys["ES256"]
    issuer.add("ES256", "new")
    clock.s += REFETCH_S
    assert known.identify(issuer.sign(claims(NOW_S), "ES256", "new")).subject == "ada"
    with pytest.raises(InvalidCredential, match="no key"):  # although it had been valid before
        known.identify(old)


def test_dropped_key_is_not_believed_once_what_is_kept_is_no_longer_fresh() -> None:
    issuer, clock = Issuer("ES256"), Clock()
    known = tokens(issuer, clock)
    old = issuer.sign(claims(NOW_S))
    known.identify(old)
    issuer.keys.clear()
    clock.s += FRESH_S
    with pytest.raises(InvalidCredential, match="no key"):
        known.identify(old)


def test_key_that_is_another_under_the_same_id_ends_what_was_verified_with_it() -> None:
    issuer, clock = Issuer("ES256"), Clock()
    known = tokens(issuer, clock)
    old = issuer.sign(claims(NOW_S))
    known.identify(old)
    issuer.add("ES256")
    clock.s += FRESH_S
    with pytest.raises(InvalidCredential, match="signature"):
        known.identify(old)


def test_unknown_keys_do_not_make_the_provider_be_asked_more_often_than_its_pause() -> None:
    issuer, clock = Issuer("ES256"), Clock()
    known = tokens(issuer, clock)
    known.identify(issuer.sign(claims(NOW_S)))
    stranger = Issuer("ES256")
    for number in itertools.count():
        token = sign_with(stranger.keys["ES256"], {"alg": "ES256", "kid": f"k{number}"}, claims(NOW_S))
        with pytest.raises(InvalidCredential):
            known.identify(token)
        clock.s += 1
        if clock.s >= 1_000 + 3 * REFETCH_S:
            break
    assert issuer.asked.count(f"{ISSUER}/keys") <= 4


def test_new_key_of_a_provider_that_is_down_is_to_be_shown_again_later() -> None:
    issuer, clock = Issuer(), Clock()
    known = tokens(issuer, clock)
    known.identify(issuer.sign(claims(NOW_S)))
    issuer.add("ES256", "new")
    token = issuer.sign(claims(NOW_S, sub="eve"), key_id="new")
    clock.s += REFETCH_S
    issuer.down = True
    for _ in range(2):
        with pytest.raises(ProviderUnavailable, match="refused"):
            known.identify(token)
    assert known.identify(issuer.sign(claims(NOW_S, sub="bob"))).subject == "bob", "of a known key"
    issuer.down = False
    clock.s += REFETCH_S
    assert known.identify(token).subject == "eve"
    with pytest.raises(InvalidCredential):
        known.identify(sign_with(ECKey.generate_key("P-256"), {"alg": "ES256", "kid": "none"}, claims(NOW_S)))


def test_provider_that_hangs_keeps_those_with_unknown_keys_for_a_moment_only() -> None:
    issuer, clock, asked, go = Issuer(), Clock(), threading.Event(), threading.Event()

    def fetch(url: str) -> Mapping[str, Any]:
        if clock.s > 1_000:
            asked.set()
            go.wait(30)
        return issuer.fetch(url)

    keys = KeyCache(ISSUER, fetch, clock_s=clock)
    keys.find("ES256")
    clock.s += REFETCH_S
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(keys.find, "unknown")
        assert asked.wait(10)
        others = [pool.submit(keys.find, f"unknown {number}") for number in range(8)]
        for each in others:
            assert isinstance(each.exception(WAIT_S + 10), ProviderUnavailable)
        assert not first.done()
        assert keys.find("ES256"), "who has a known key does not wait at all"
        go.set()
        assert isinstance(first.exception(10), InvalidCredential)


def test_valid_token_is_verified_once_and_not_after_its_end() -> None:
    issuer, clock = Issuer("ES256"), Clock()
    known = tokens(issuer, clock)
    token = issuer.sign(claims(NOW_S))
    assert known.identify(token) is known.identify(token)
    clock.wall_ms += 700_000
    with pytest.raises(InvalidCredential, match="ended"):
        known.identify(token)


def test_provider_that_is_down_from_the_beginning_is_unavailable() -> None:
    issuer = Issuer("ES256")
    issuer.down = True
    known = tokens(issuer)
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            known.identify(issuer.sign(claims(NOW_S)))
    assert len(issuer.asked) == 1


def test_provider_that_goes_down_stops_nobody_whose_key_is_known_for_a_day() -> None:
    issuer, clock = Issuer("ES256"), Clock()
    known = tokens(issuer, clock)
    known.identify(issuer.sign(claims(NOW_S)))
    issuer.down = True
    clock.s += STALE_S
    assert known.identify(issuer.sign(claims(NOW_S, sub="bob"))).subject == "bob"
    clock.s += FRESH_S
    with pytest.raises(ProviderUnavailable):
        known.identify(issuer.sign(claims(NOW_S, sub="eve")))


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example.org", "jwks_uri": f"{ISSUER}/keys"},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": 7},
        {},
    ],
    ids=str,
)
def test_discovery_document_that_is_another_issuers_or_names_no_keys_is_unavailable(
    document: dict[str, Any],
) -> None:
    issuer = Issuer("ES256")
    issuer.document = document
    with pytest.raises(ProviderUnavailable):
        tokens(issuer).identify(issuer.sign(claims(NOW_S)))


def test_keys_that_are_no_use_are_left_out_and_others_are_not() -> None:
    issuer = Issuer("ES256")
    numbers = rsa.generate_private_key(65_537, 1_024).public_key().public_numbers()
    weak = {"kty": "RSA", "e": "AQAB", "n": encode_bytes(numbers.n.to_bytes(128, "big")), "kid": "weak"}
    encrypting = ECKey.generate_key("P-256")
    good = {"keys": [key.as_dict(private=False) | {"kid": kid} for kid, key in issuer.keys.items()]}
    odd: list[Any] = [
        weak,
        encrypting.as_dict(private=False) | {"kid": "encrypting", "use": "enc"},
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "shared"},
        {"kty": "future", "kid": "future"},
        {"kty": "EC", "kid": "torn"},
        *(
            {**encrypting.as_dict(private=False), "kid": "odd", "key_ops": each}
            for each in (5, None, "verify")
        ),
        "no key",
        ECKey.generate_key("P-256").as_dict(private=False) | {"kid": 7},
    ]
    keys = KeyCache(
        ISSUER, lambda _: {"keys": good["keys"] + odd}, clock_s=Clock(), jwks_uri=f"{ISSUER}/keys"
    )
    assert list(keys.current().by_id) == ["ES256"]


def test_token_that_was_believed_is_not_when_it_has_become_too_old(issuer: Issuer) -> None:
    clock = Clock()
    known = tokens(issuer, clock, max_age_s=600, skew_s=60)
    token = issuer.sign(claims(NOW_S, exp=NOW_S + 86_400))
    known.identify(token)
    clock.wall_ms += 640_000
    known.identify(token)
    clock.wall_ms += 12_000
    with pytest.raises(InvalidCredential):
        known.identify(token)
