"""What a policy says beside its grants, in words, and what another says instead.

Host groups, customers, persons, limits and the rules for the appliance itself; of each what only one of the
two policies says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Final

from appliance.durations import format_duration
from appliance.policy.document import Policy
from appliance.policy.schedules import Calendar
from appliance.policy.tables import Customer, HostGroup, Limit, Operator, Person
from appliance.ssh.keys import fingerprint

MAX_WORDS: Final = 100
_Words = Iterable[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting, and what only the one or only the other policy says of it; empty where that is nothing."""

    what: str
    before: tuple[str, ...]
    after: tuple[str, ...]


def compare_settings(before: Policy, after: Policy, since: date) -> Iterator[Setting]:
    """Yield what is different; of holidays before ``since`` nothing."""
    old, new = _describe(before), _describe(after)
    for name in before.calendars.keys() & after.calendars.keys():
        calendars = (before.calendars[name], after.calendars[name])
        known_until = min(each.last_year for each in calendars)
        for described, calendar in zip((old, new), calendars, strict=True):
            described[f"holidays of {name}"] = frozenset(_calendar(calendar, since, known_until))
    for what in sorted(old.keys() | new.keys()):
        was, becomes = old.get(what, frozenset()), new.get(what, frozenset())
        if was != becomes:
            yield Setting(what=what, before=_list(was - becomes), after=_list(becomes - was))


def describe_operator(operator: Operator | None) -> tuple[str, ...]:
    """Return what an operator may do, and as whom; nothing where he is none."""
    if operator is None:
        return ()
    of = [f"of {name} only" for name in sorted(operator.customers)]
    emergency = ["for emergencies only"] if operator.break_glass else []
    keys = sorted(fingerprint(key) for key in operator.keys)
    return (*sorted(operator.roles), *of, *emergency, *sorted(operator.identities), *keys)


def _describe(policy: Policy) -> dict[str, frozenset[str]]:
    described: dict[str, _Words] = {
        "two_operators": policy.two_operators,
        "trust_wait": [format_duration(policy.trust_wait_s)],
    }
    described |= {f"customer {each.name}": _customer(each) for each in policy.customers.values()}
    described |= {f"host group {each.name}": _host_group(each) for each in policy.host_groups.values()}
    described |= {f"person {each.name}": _person(each) for each in policy.persons.values()}
    described |= {f"limit {each.name}": _limit(policy, each) for each in policy.limits}
    described |= {f"file {name}": [f"of {each.customer}"] for name, each in policy.documents if each.customer}
    return {what: frozenset(words) for what, words in described.items()}


def _list(words: Collection[str]) -> tuple[str, ...]:
    more = len(words) - MAX_WORDS
    return (*sorted(words)[:MAX_WORDS], *([f"and {more} more"] if more > 0 else []))


def _customer(customer: Customer) -> _Words:
    return f"users' certificates by {customer.user_ca}", f"hosts' certificates by {customer.host_ca}"


def _host_group(group: HostGroup) -> _Words:
    yield f"of {group.customer}"
    yield "principals are bare logins" if group.principals == "login" else f"principals end in @{group.name}"
    yield from group.hosts
    if group.match is not None:
        labels = (f"{name}={value}" for name, value in sorted(group.match.items()))
        yield f"hosts with {', '.join(labels)}"


def _person(person: Person) -> _Words:
    return chain(person.identities, map(fingerprint, person.keys))


def _limit(policy: Policy, limit: Limit) -> _Words:
    who = limit.who
    yield f"{limit.per_minute} certificates a minute, {limit.burst or limit.per_minute} at once"
    yield from who.users
    yield from (f"service {name}" for name in who.services)
    for name in who.groups:
        # Members of the document's groups one by one: it is they who are limited.
        members = [f"group {name}"] if ":" in name else policy.groups[name].members
        yield from members


def _calendar(calendar: Calendar, since: date, known_until: int) -> _Words:
    yield f"known until {calendar.last_year}"
    if date(calendar.first_year, 1, 1) > since:
        yield f"known from {calendar.first_year}"
    yield from (day.isoformat() for day in calendar.dates if day >= since and day.year <= known_until)
