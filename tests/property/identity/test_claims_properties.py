"""Whatever a token says: it identifies somebody, in the form that all rely on, or nobody."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.identity.claims import MAX_GROUPS, check_addressee, check_times, identify
from appliance.identity.errors import InvalidCredential
from appliance.identity.identity import Identity, is_subject
from appliance.identity.jwt import parse_unverified
from appliance.identity.settings import OidcTable
from support.issuer import AUDIENCE, ISSUER, claims, encode

NOW_S = 1_764_000_000
PEOPLE = OidcTable(
    name="oidc", issuer=ISSUER, audience=AUDIENCE, groups="groups", mfa_amr=("mfa",), mfa_acr=("high",)
)
JOBS = OidcTable(name="ci", issuer=ISSUER, audience=AUDIENCE, kind="service", subject="{project}:{ref.name}")
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = (
    "iss",
    "aud",
    "azp",
    "sub",
    "exp",
    "nbf",
    "iat",
    "auth_time",
    "amr",
    "acr",
    "groups",
    "project",
    "ref",
)
CHANGES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)


def outcome(said: dict[str, Any], provider: OidcTable) -> Identity | None:
    try:
        check_addressee(said, provider)
        check_times(said, provider, NOW_S)
        return identify(said, provider)
    except InvalidCredential:
        return None


@settings(max_examples=100)
@given(CHANGES)
def test_claims_of_any_kind_identify_somebody_in_form_or_nobody(changes: dict[str, Any]) -> None:
    good = claims(NOW_S, groups=["dba"], project="infra", ref={"name": "main"})
    for provider in (PEOPLE, JOBS):
        found = outcome(good | changes, provider)
        if found is None:
            assert changes
            continue
        assert is_subject(found.subject)
        assert Identity.from_data(found.to_data()).to_data() == found.to_data()
        assert len(found.groups) <= MAX_GROUPS
        assert all(group.startswith("oidc:") for group in found.groups)
        assert found.kind == provider.kind


@given(st.lists(st.sampled_from(["infra", "infra:main", "main", ":", "a/b", "a:b"]), min_size=2, max_size=2))
def test_two_workloads_of_one_subject_have_the_same_claims(values: list[str]) -> None:
    project, ref = values
    found = outcome(claims(NOW_S, project=project, ref={"name": ref}), JOBS)
    if found is not None:
        assert found.subject.split(":") == [project, ref]


@settings(max_examples=100)
@given(
    st.text(max_size=60)
    | st.tuples(VALUES, VALUES).map(lambda pair: f"{encode(pair[0])}.{encode(pair[1])}.x")
)
def test_text_of_any_kind_is_a_token_in_form_or_none(text: str) -> None:
    try:
        header, said = parse_unverified(text)
    except InvalidCredential:
        return
    assert isinstance(header, dict)
    assert isinstance(said, dict)
