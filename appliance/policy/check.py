"""The checks that make a policy one which can be applied: nothing dangles, nothing is empty, someone rules.

:mod:`~appliance.policy.document` has checked each table by itself; here the tables meet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from appliance.policy.check_grants import check_grants, check_satisfiable, check_who
from appliance.policy.document import Policy, PolicyError, Problem
from appliance.policy.powers import are_several
from appliance.policy.roles import ORDER_ROLES, able_to_order
from appliance.policy.tables import Document, HostGroup, Operator
from appliance.ssh.keys import PublicKey

_Found = Iterator[tuple[str, str]]
_Check = Callable[[Policy, Document], _Found]


def check_policy(policy: Policy) -> None:
    """Check a parsed policy as a whole, before it is applied.

    Raises:
        PolicyError: with everything that is wrong with it.
    """
    _check(policy, (*_CHECKS, check_satisfiable))


def check_recorded(policy: Policy) -> None:
    """Check a policy that was applied, maybe by an earlier version: what decisions take for granted.

    Raises:
        PolicyError: with everything that is wrong with it.
    """
    _check(policy, _CHECKS)


def _check(policy: Policy, checks: Sequence[_Check]) -> None:
    problems = [
        Problem(file=name, where=where, message=message)
        for name, document in policy.documents
        for check in checks
        for where, message in check(policy, document)
    ]
    problems += [Problem(file=name, where=where, message=message) for name, where, message in _twice(policy)]
    if not any(operator.keys for operator in policy.operators.values() if "admin" in operator.roles):
        message = 'no operator has the role "admin" and a key: nobody could ever change this policy'
        problems.append(Problem(file=policy.files[0].name, where="operator", message=message))
    if problems:
        raise PolicyError(problems)


def _check_own_file(_policy: Policy, document: Document) -> _Found:
    """Check that a customer's own file speaks of that customer alone."""
    if document.customer is None:
        return
    for tables, kind in ((document.operators, "operator"), (document.persons, "person")):
        for entry in tables:
            yield f'{kind} "{entry.name}"', "a customer's own file cannot have such a table"
    if document.appliance is not None:
        yield "appliance", "a customer's own file cannot have such a table"
    for group in document.host_groups:
        if group.customer != document.customer:
            yield f'host_group "{group.name}": customer', f"expected {document.customer}, whose file this is"


def _check_customer(policy: Policy, document: Document) -> _Found:
    if document.customer is not None and document.customer not in policy.customers:
        yield "customer", f"there is no customer {document.customer!r}"
    for customer in document.customers:
        if customer.user_ca == customer.host_ca:
            yield f'customer "{customer.name}": host_ca', "one CA cannot sign for users and for hosts"
        for key, name in (("user_ca", customer.user_ca), ("host_ca", customer.host_ca)):
            for other in policy.customers.values():
                if other.name != customer.name and name in {other.user_ca, other.host_ca}:
                    message = f"{name} is a CA of {other.name}, and the hosts of both would trust it"
                    yield f'customer "{customer.name}": {key}', message


def _check_host_groups(policy: Policy, document: Document) -> _Found:
    for group in document.host_groups:
        where = f'host_group "{group.name}"'
        if group.customer not in policy.customers:
            yield f"{where}: customer", f"there is no customer {group.customer!r}"
        if (group.match is None) == (not group.hosts):
            yield where, "expected one of match and hosts"
        if group.principals == "login" and _neighbours(policy, group):
            message = (
                f'"login" is valid on every host that trusts the CA of {group.customer}, '
                f"which has other host groups: {', '.join(_neighbours(policy, group)[:5])}"
            )
            yield f"{where}: principals", message


def _neighbours(policy: Policy, group: HostGroup) -> list[str]:
    return [
        other.name
        for other in policy.host_groups.values()
        if other.customer == group.customer and other.name != group.name
    ]


def _check_persons(policy: Policy, document: Document) -> _Found:
    owners: defaultdict[PublicKey, list[str]] = defaultdict(list)
    for each in policy.persons.values():
        for key in each.keys:
            owners[key].append(each.name)
    for person in document.persons:
        for position, identity in enumerate(person.identities):
            others = [
                other.name
                for other in policy.persons.values()
                if identity in other.identities and other.name != person.name
            ]
            if others:
                where = f'person "{person.name}": identities[{position}]'
                yield where, f"{identity} is an identity of {others[0]} already"
        for position, key in enumerate(person.keys):
            if len(sharing := owners[key]) > 1:
                where = f'person "{person.name}": keys[{position}]'
                yield (
                    where,
                    f"it is a key of {' and of '.join(sharing)}: approvals by two persons need two keys",
                )


def _check_operators(policy: Policy, document: Document) -> _Found:
    for operator in document.operators:
        where = f'operator "{operator.name}"'
        if not (operator.keys or operator.identities):
            yield where, "has neither keys nor identities: it could do nothing"
        yield from ((f"{where}: {key}", message) for key, message in _check_customers_of(policy, operator))
        for position, key in enumerate(operator.keys):
            owner = _other_owner(policy, operator, key)
            if owner is not None:
                # Else one person could pass for the two operators that an order may ask for.
                yield f"{where}: keys[{position}]", f"is a key of operator {owner} already"


def _check_customers_of(policy: Policy, operator: Operator) -> _Found:
    """Check that whoever is an operator of some customers only sees, and only theirs."""
    for position, name in enumerate(operator.customers):
        if name not in policy.customers:
            yield f"customers[{position}]", f"there is no customer {name!r}"
    if operator.customers and operator.roles != ("auditor",):
        yield "customers", 'goes with roles = ["auditor"] alone: other roles are for all customers'


def _check_appliance(policy: Policy, document: Document) -> _Found:
    if document.appliance is None:
        return
    for limit in document.appliance.limits:
        where = f'appliance: limit "{limit.name}"'
        yield from ((f"{where}: {key}", message) for key, message in check_who(policy, limit.who))
    for position, verb in enumerate(document.appliance.two_operators):
        where = f"appliance: two_operators[{position}]"
        if verb not in ORDER_ROLES:
            yield where, f"got {verb!r}, expected one of {', '.join(ORDER_ROLES)}"
            continue
        able = able_to_order(policy, verb)
        if not are_several(policy, able):
            names = ", ".join(each.name for each in able)
            yield where, f"operators with a key that may order {verb}: {names or 'none'}; expected two people"


def _other_owner(policy: Policy, operator: Operator, key: PublicKey) -> str | None:
    for other in policy.operators.values():
        if other.name != operator.name and key in other.keys:
            return other.name
    return None


def _twice(policy: Policy) -> Iterator[tuple[str, str, str]]:
    """Find names that two tables share, also across files."""
    seen: set[tuple[str, str]] = set()
    for file, document in policy.documents:
        for kind, names in (
            ("customer", [entry.name for entry in document.customers]),
            ("host_group", [entry.name for entry in document.host_groups]),
            ("group", [entry.name for entry in document.groups]),
            ("person", [entry.name for entry in document.persons]),
            ("schedule", [entry.name for entry in document.schedules]),
            ("operator", [entry.name for entry in document.operators]),
            ("limit", [entry.name for entry in document.appliance.limits] if document.appliance else []),
            (f"grant in {file}", [entry.name for entry in document.grants]),
        ):
            for name in names:
                if (kind, name) in seen:
                    yield file, f'{kind.partition(" ")[0]} "{name}"', "there is another one of this name"
                seen.add((kind, name))


_CHECKS: Final[tuple[_Check, ...]] = (
    _check_own_file,
    _check_customer,
    _check_host_groups,
    check_grants,
    _check_persons,
    _check_operators,
    _check_appliance,
)
