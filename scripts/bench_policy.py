"""What a decision costs: 10 000 grants, and somebody who is in a hundred groups.

Each group has as many grants as any other, on two of a hundred host groups; every third grant has a schedule,
every fifth days or a source. The requests ask for one login on one host, for one on a host group, and by one
grant. A decision is timed by itself, in the CPU time of its thread; nothing else of a certificate is in it.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from statistics import median, quantiles

from appliance.identity.identity import Identity
from appliance.policy.document import Policy, PolicyFile, parse_policy
from appliance.policy.evaluate import Denial, Host, evaluate_user
from appliance.requests import UserRequest
from support.ssh_examples import public_key

NOW_S = 1_764_000_000  # a Monday, 17:00 in Berlin
KEY = public_key("ed25519", 1)
GROUPS_OF_A_PERSON = 100
HOST_GROUPS = 100
GRANTS_IN_A_FILE = 5_000
HOSTS = 1_000
LOGINS = ("root", "deploy", "postgres", "app", "backup")
HEAD = """
version = 1
[[customer]]
name = "acme"
user_ca = "users"
host_ca = "hosts"
[[schedule]]
name = "office"
timezone = "Europe/Berlin"
windows = ["mon-fri 08:00-18:00"]
[[schedule]]
name = "night"
timezone = "America/New_York"
windows = ["mon-sun 20:00-06:00"]
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grants", type=int, default=10_000)
    parser.add_argument("--groups", type=int, default=1_000, help="of a provider, that grants are for")
    parser.add_argument("--decisions", type=int, default=5_000, help="for each number")
    options = parser.parse_args()
    rng = random.Random(7)
    policy = make_policy(rng, options.grants, options.groups)
    hosts = dict(make_hosts())
    people = [make_person(rng, number, options.groups) for number in range(200)]
    print(f"{options.grants} grants, {options.groups} groups, {HOST_GROUPS} host groups, {HOSTS} hosts")
    print(f"\n{'microseconds':44}{'median':>9}{'p99':>9}{'worst':>9}{'given':>8}")
    for name, ask in REQUESTS.items():
        measure(name, policy, hosts, people, options.decisions, ask, rng)


def measure(
    name: str,
    policy: Policy,
    hosts: dict[str, Host],
    people: list[Identity],
    decisions: int,
    ask: Callable[[random.Random, Policy, Identity], UserRequest],
    rng: random.Random,
) -> None:
    """Decide many requests of one form, and print how long that took."""
    took, given = [], 0
    for number in range(decisions + 200):
        who = rng.choice(people)
        request = ask(rng, policy, who)
        began = time.thread_time()
        outcome = evaluate_user(policy, hosts, who, request, now_s=NOW_S + number, max_ttl_s=31 * 86_400)
        if number >= 200:  # the first ones fill caches
            took.append((time.thread_time() - began) * 1e6)
            given += not isinstance(outcome, Denial)
    p99 = quantiles(took, n=100)[98]
    print(f"{name:44}{median(took):9.0f}{p99:9.0f}{max(took):9.0f}{given / decisions:8.2f}")


def ask_host(rng: random.Random, policy: Policy, who: Identity) -> UserRequest:
    """Ask for a login on a host of a group that one of his grants is on."""
    grant = rng.choice(policy.held_by(who)).grant
    number = int(rng.choice(grant.on).removeprefix("hg-"))
    host = f"host-{rng.randrange(number, HOSTS, HOST_GROUPS)}.acme.example"
    return UserRequest(public_key=KEY, hosts=(host,), logins=(rng.choice(grant.logins),))


def ask_group(rng: random.Random, policy: Policy, who: Identity) -> UserRequest:
    """Ask for a login on a host group."""
    grant = rng.choice(policy.held_by(who)).grant
    return UserRequest(public_key=KEY, host_groups=(rng.choice(grant.on),), logins=(grant.logins[0],))


def ask_grant(rng: random.Random, policy: Policy, who: Identity) -> UserRequest:
    """Ask for what one grant gives."""
    return UserRequest(public_key=KEY, grant=rng.choice(policy.held_by(who)).grant.name)


def make_policy(rng: random.Random, grants: int, groups: int) -> Policy:
    """Return a policy of that many grants, each for one group."""
    text = [HEAD]
    text += [
        f'[[host_group]]\nname = "hg-{number}"\ncustomer = "acme"\nmatch = {{ place = "p-{number}" }}\n'
        for number in range(HOST_GROUPS)
    ]
    made = [make_grant(rng, number, f"oidc:g-{number % groups}") for number in range(grants)]
    files = [PolicyFile(name="policy.toml", text="".join(text))]
    for start in range(0, grants, GRANTS_IN_A_FILE):
        more = "".join(made[start : start + GRANTS_IN_A_FILE])
        files.append(PolicyFile(name=f"grants-{start}.toml", text=f"version = 1\n{more}"))
    return parse_policy(files)


def make_grant(rng: random.Random, number: int, group: str) -> str:
    """Return a grant of the document."""
    on = ", ".join(f'"hg-{each}"' for each in rng.sample(range(HOST_GROUPS), 2))
    logins = ", ".join(f'"{each}"' for each in rng.sample(LOGINS, 2))
    limits = ""
    if number % 3 == 0:
        limits += f'when = "{rng.choice(["office", "night"])}"\n'
    if number % 5 == 0:
        limits += rng.choice(['until = "2027-12-31"\n', 'source = ["10.0.0.0/8"]\n'])
    who = f'who.groups = ["{group}"]\n'
    return f'[[grant]]\nname = "grant-{number}"\n{who}on = [{on}]\nas = [{logins}]\n{limits}'


def make_hosts() -> Iterator[tuple[str, Host]]:
    """Yield the hosts, each in one host group, with a label more."""
    for number in range(HOSTS):
        labels = (("place", f"p-{number % HOST_GROUPS}"), ("region", f"r-{number % 7}"))
        name = f"host-{number}.acme.example"
        yield name, Host(name=name, customer="acme", names=(name,), labels=labels, seq=number)


def make_person(rng: random.Random, number: int, groups: int) -> Identity:
    """Return somebody in a hundred groups."""
    member = frozenset(f"oidc:g-{each}" for each in rng.sample(range(groups), GROUPS_OF_A_PERSON))
    return Identity(
        provider="oidc", subject=f"person-{number}", kind="user", groups=member, authenticated_ms=NOW_S * 1000
    )


REQUESTS = {
    "one login on one host": ask_host,
    "one login on one host group": ask_group,
    "by one grant": ask_grant,
}

if __name__ == "__main__":
    main()
