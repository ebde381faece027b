"""The tables of the policy document, field by field.

A key that this version does not know is an error and never ignored: a constraint that is not enforced is
worse than none.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt
from pydantic.dataclasses import dataclass as table

from appliance.policy.requirements import NOTHING_REQUIRED, Requirements
from appliance.policy.schedules import Schedule
from appliance.policy.values import (
    DEFAULT_TRUST_WAIT_S,
    DEFAULT_USER_TTL_S,
    MANY,
    TABLE,
    CaName,
    Command,
    CustomerName,
    Day,
    HostGroupName,
    HostName,
    Key,
    Login,
    Name,
    Permit,
    Reference,
    Source,
    TrustWait,
    Ttl,
    no_duplicates,
)

Role = Literal["admin", "operator", "auditor", "enroller"]


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class Customer:
    """``[[customer]]``: a tenant with CA keys of its own in the token."""

    name: CustomerName
    user_ca: CaName
    host_ca: CaName


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class HostGroup:
    """``[[host_group]]``: hosts of one customer, by labels or by name.

    ``principals``: ``group`` makes a login's principal ``login@group``, ``login`` the bare login.
    """

    name: HostGroupName
    customer: CustomerName
    match: Annotated[dict[Name, str], Field(min_length=1, max_length=64)] | None = None
    hosts: Annotated[
        tuple[HostName, ...], Field(min_length=1, max_length=100_000), AfterValidator(no_duplicates)
    ] = ()
    principals: Literal["group", "login"] = "group"

    def principal(self, login: str) -> str:
        """Return the principal of ``login`` on this group's hosts."""
        return login if self.principals == "login" else f"{login}@{self.name}"


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class Group:
    """``[[group]]``: identities under one name."""

    name: Name
    members: Annotated[tuple[Reference, ...], Field(min_length=1), MANY, AfterValidator(no_duplicates)]


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class Person:
    """``[[person]]``: the accounts of one human being, and the keys that sign for it."""

    name: Name
    identities: Annotated[tuple[Reference, ...], Field(min_length=1), AfterValidator(no_duplicates)]
    keys: tuple[Key, ...] = ()


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class Who:
    """A grant's ``who``: groups of the document or of a provider, users, services. At least one."""

    groups: Annotated[tuple[str, ...], MANY, AfterValidator(no_duplicates)] = ()
    users: Annotated[tuple[Reference, ...], MANY, AfterValidator(no_duplicates)] = ()
    services: Annotated[tuple[Reference, ...], MANY, AfterValidator(no_duplicates)] = ()


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class Grant:
    """``[[grant]]``: who may log in on which host groups as what, for how long and under which limits."""

    name: Name
    who: Who
    on: Annotated[tuple[HostGroupName, ...], Field(min_length=1), AfterValidator(no_duplicates)]
    logins: Annotated[
        tuple[Login, ...], Field(alias="as", min_length=1, max_length=256), AfterValidator(no_duplicates)
    ]
    ttl_s: Annotated[Ttl, Field(alias="ttl")] = DEFAULT_USER_TTL_S
    source: Source | None = None
    force_command: Command | None = None
    permit: Annotated[tuple[Permit, ...], AfterValidator(no_duplicates)] = ()
    when: Name | None = None
    first: Annotated[Day | None, Field(alias="from")] = None
    last: Annotated[Day | None, Field(alias="until")] = None
    delegates: Annotated[tuple[Reference, ...], MANY, AfterValidator(no_duplicates)] = ()
    require: Requirements = NOTHING_REQUIRED
    break_glass: StrictBool = False


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class Operator:
    """``[[operator]]``: who may order what of the appliance itself.

    ``keys`` sign orders; ``identities`` are whose reading, enrolling and cutting off the roles allow;
    ``customers`` are those whose auditor this is, and no other's.
    """

    name: Name
    keys: tuple[Key, ...] = ()
    identities: Annotated[tuple[Reference, ...], AfterValidator(no_duplicates)] = ()
    roles: Annotated[tuple[Role, ...], Field(min_length=1), AfterValidator(no_duplicates)]
    customers: Annotated[tuple[CustomerName, ...], AfterValidator(no_duplicates)] = ()
    break_glass: StrictBool = False


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class Limit:
    """``[[appliance.limit]]``: how many certificates each of those that it covers may ask for.

    ``burst`` is how many at once, after asking for less; None is as many as in a minute.
    """

    name: Name
    who: Who
    per_minute: Annotated[StrictInt, Field(alias="certificates_per_minute", ge=1, le=1_000_000)]
    burst: Annotated[StrictInt, Field(ge=1, le=10_000_000)] | None = None


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class Appliance:
    """``[appliance]``: rules for the appliance itself.

    ``two_operators``: verbs that no one orders alone; ``trust_wait_s``: how long hosts are told to trust a
    CA's key before it may sign.
    """

    two_operators: Annotated[tuple[str, ...], AfterValidator(no_duplicates)] = ()
    trust_wait_s: Annotated[TrustWait, Field(alias="trust_wait")] = DEFAULT_TRUST_WAIT_S
    limits: Annotated[tuple[Limit, ...], Field(alias="limit"), MANY] = ()


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class Document:
    """One file. ``customer`` makes it that customer's own: it can speak of nothing else."""

    version: Literal[1]
    customer: CustomerName | None = None
    customers: Annotated[tuple[Customer, ...], Field(alias="customer_tables")] = ()
    host_groups: Annotated[tuple[HostGroup, ...], Field(alias="host_group")] = ()
    groups: Annotated[tuple[Group, ...], Field(alias="group")] = ()
    persons: Annotated[tuple[Person, ...], Field(alias="person")] = ()
    schedules: Annotated[tuple[Schedule, ...], Field(alias="schedule")] = ()
    grants: Annotated[tuple[Grant, ...], Field(alias="grant")] = ()
    operators: Annotated[tuple[Operator, ...], Field(alias="operator")] = ()
    appliance: Appliance | None = None
