"""Terms or obstacles: a grant has one of them; and the index finds what reading every grant would."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st

from appliance.identity.identity import Identity
from appliance.policy.asking import Asking
from appliance.policy.circumstances import Approval, Away, Circumstances
from appliance.policy.document import FiledGrant, Policy
from appliance.policy.evaluate import Host
from appliance.policy.requirements import Requirements
from appliance.policy.schedules import Schedule
from appliance.policy.tables import Grant, Group, HostGroup, Person, Who
from appliance.policy.terms import Settling
from appliance.requests import UserRequest
from support.ssh_examples import public_key

NOW_S = 1_764_000_000  # a Monday, 16:00 in UTC
KEYS = (public_key("ed25519", 1), public_key("sk-ed25519", 1))
PORTAL = Identity(provider="mtls", subject="portal", kind="service", authenticated_ms=0)
SCHEDULE = Schedule(name="office", timezone="UTC", windows=("mon-fri 08:00-16:30", "tue 20:00-02:00"))  # type: ignore[arg-type]
requirements = st.builds(
    Requirements,
    key_types=st.none() | st.just(("sk-ssh-ed25519@openssh.com",)),
    mfa=st.booleans(),
    reason=st.booleans(),
    approvals=st.just(1),
    approvers=st.just(("owners",)),
) | st.builds(Requirements, reason=st.booleans(), mfa=st.booleans())
grants = st.fixed_dictionaries(
    {
        "who": st.just(Who(users=("mtls:alice",))),
        "on": st.just(("web",)),
        "as": st.just(("root",)),
        "ttl": st.sampled_from(["1m", "8h"]),
        "permit": st.sampled_from([(), ("pty",)]),
        "source": st.sampled_from([None, ["10.0.0.0/8"]]),
        "when": st.sampled_from([None, "office"]),
        "from": st.sampled_from([None, "2025-11-24", "2025-11-25"]),
        "until": st.sampled_from([None, "2025-11-23", "2025-11-25"]),
        "delegates": st.sampled_from([(), ("mtls:portal",)]),
        "require": requirements,
    }
)
askings = st.builds(
    Asking,
    identity=st.builds(
        Identity,
        provider=st.just("mtls"),
        subject=st.just("alice"),
        kind=st.just("user"),
        mfa=st.booleans(),
        authenticated_ms=st.just(0),
    ),
    request=st.builds(
        UserRequest,
        public_key=st.sampled_from(KEYS),
        ttl_s=st.sampled_from([None, 30, 600]),
        start_s=st.sampled_from([None, NOW_S + 3_600, NOW_S + 86_400]),
        source=st.sampled_from([None, ("10.1.0.0/16",), ("192.0.2.0/24",)]),
        permit=st.sampled_from([None, (), ("pty",)]),
        reason=st.sampled_from([None, "ticket 7"]),
    ),
    circumstances=st.builds(
        Circumstances,
        leaves=st.sampled_from([(), (Away(starts_s=NOW_S - 60, ends_s=NOW_S + 3_600),)]),
        approvals=st.sampled_from(
            [(), (Approval(seq=1, grant="g", given_by=frozenset({"bob"}), ends_s=NOW_S + 1_800),)]
        ),
        delegate=st.sampled_from([None, PORTAL]),
    ),
    now_s=st.sampled_from([NOW_S, NOW_S + 1_790, NOW_S + 40_000]),
    max_ttl_s=st.just(31 * 86_400),
)


@given(grants, askings)
def test_grant_has_obstacles_exactly_where_it_gives_no_terms(
    fields: dict[str, object], asking: Asking
) -> None:
    present = {name: value for name, value in fields.items() if value is not None}
    filed = FiledGrant(file="policy.toml", grant=Grant(name="g", **present))  # type: ignore[arg-type]
    policy = Policy(
        groups={"owners": Group(name="owners", members=("mtls:bob",))},
        persons={"bob": Person(name="bob", identities=("mtls:bob",))},
        schedules={"office": SCHEDULE},
        grants=(filed,),
    )
    settling = Settling(policy, asking)
    opening, obstacles = settling.open(filed), settling.find_obstacles(filed)
    assert (opening is None) == bool(obstacles)
    if opening is not None:
        terms = settling.settle(filed, opening)
        assert terms.valid_before - terms.valid_after > 0
    assert all(each.rule and "'g'" in each.detail for each in obstacles)


some = st.lists(st.sampled_from(("dba", "ops", "oidc:dba", "oidc:ops")), max_size=3, unique=True)
people = st.lists(st.sampled_from(("oidc:ada", "oidc:bob")), max_size=2, unique=True)
places = st.lists(st.sampled_from(("a", "b", "c")), min_size=1, max_size=3, unique=True)
labels = st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12"), min_size=1, max_size=3)
groups = st.lists(st.tuples(st.sampled_from(("acme", "other")), st.none() | labels), min_size=1, max_size=5)


def grant_on(name: str, on: list[str], who: Who) -> FiledGrant:
    fields: dict[str, Any] = {"name": name, "who": who, "on": on, "as": ["root"]}
    return FiledGrant(file="policy.toml", grant=Grant(**fields))


@given(
    st.lists(st.tuples(some, people, people, places), max_size=6),
    st.sampled_from(["user", "service"]),
    st.sets(st.sampled_from(("oidc:dba", "oidc:ops", "dba"))),
    st.sets(st.sampled_from("abc"), max_size=2),
)
def test_index_finds_the_grants_that_reading_all_of_them_finds(
    drawn: list[tuple[list[str], list[str], list[str], list[str]]],
    kind: Literal["user", "service"],
    member_of: set[str],
    sought: set[str],
) -> None:
    policy = Policy(
        groups={
            "dba": Group(name="dba", members=("oidc:ada",)),
            "ops": Group(name="ops", members=("oidc:bob",)),
        },
        grants=tuple(
            grant_on(f"g{number % 2}", on, Who(groups=tuple(g), users=tuple(u), services=tuple(s)))
            for number, (g, u, s, on) in enumerate(drawn)
        ),
    )
    identity = Identity(
        provider="oidc", subject="ada", kind=kind, groups=frozenset(member_of), authenticated_ms=0
    )
    # Ada is in the document's group dba. A group that a provider calls so as well is not the document's.
    held = [
        place
        for place, (in_groups, users, services, _) in enumerate(drawn)
        if "oidc:ada" in (services if kind == "service" else users)
        or "dba" in in_groups
        or any(":" in name and name in member_of for name in in_groups)
    ]
    holders = policy.holders
    assert holders.held_by(identity) == held
    assert holders.covers_any(identity) == bool(held)
    assert holders.held_on(identity, sought) == [each for each in held if sought & set(drawn[each][3])]
    assert holders.held_named(identity, "g1") == [each for each in held if each % 2]


@given(groups, labels, st.sampled_from(("acme", "other")))
def test_index_finds_the_host_groups_that_a_host_is_in(
    drawn: list[tuple[str, dict[str, str] | None]], of_host: dict[str, str], customer: str
) -> None:
    host_groups = {
        f"g{number}": HostGroup(name=f"g{number}", customer=theirs, match=match)
        if match
        else HostGroup(name=f"g{number}", customer=theirs, hosts=("web-1", "web-2"))
        for number, (theirs, match) in enumerate(drawn)
    }
    host = Host(
        name="web-1", customer=customer, names=("web-1",), labels=tuple(sorted(of_host.items())), seq=1
    )
    found = [group.name for group in Policy(host_groups=host_groups).fleets.of_host(host)]
    assert sorted(found) == [name for name, group in host_groups.items() if host.is_in(group)]
