"""The policy document: TOML files in, one frozen :class:`Policy` out.

The classes are the tables of the document, field by field. A key that this version does not know is an
error and never ignored: a constraint that is not enforced is worse than none.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as table

from appliance.durations import parse_duration
from appliance.errors import ChanceryError
from appliance.identity.identity import Identity, check_reference
from appliance.networks import parse_networks
from appliance.policy.holders import Holders, index_holders
from appliance.policy.names import check_customer, check_host_group, check_host_name, check_login, check_name
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import PublicKey, parse_public_key_line
from appliance.ssh.options import FORCE_COMMAND, check_critical_options

MAX_FILE: Final = 1_048_576  # bytes of one policy file
MAX_FILES: Final = 1_000
MAX_TTL_S: Final = 366 * 86_400
DEFAULT_USER_TTL_S: Final = 8 * 3_600
# Twice as long as a host bundle is fresh: by then every host that is well has had one that names the key.
DEFAULT_TRUST_WAIT_S: Final = 12 * 3_600
MAX_TRUST_WAIT_S: Final = 90 * 86_400

# What a grant's `permit` and a request's may name, and the extension each one stands for. `no-touch-required`
# is missing on purpose: it takes a protection away from a hardware key.
PERMITS: Final = {
    "X11-forwarding": "permit-X11-forwarding",
    "agent-forwarding": "permit-agent-forwarding",
    "port-forwarding": "permit-port-forwarding",
    "pty": "permit-pty",
    "user-rc": "permit-user-rc",
}

Role = Literal["admin", "operator", "auditor", "enroller"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a policy: the file, the table and key (``grant "dba": on[0]``), and what."""

    file: str
    where: str
    message: str

    def __str__(self) -> str:
        """Return the problem on one line."""
        place = f"{self.file}: {self.where}" if self.where else self.file
        return f"{place}: {self.message}"


class PolicyError(ChanceryError):
    """A policy that cannot be applied, with everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def _check_permit(name: str) -> str:
    if name not in PERMITS:
        raise ValueError(f"got {name[:40]!r}, expected one of {', '.join(PERMITS)}")
    return name


def _check_ttl(seconds: int) -> int:
    if not 60 <= seconds <= MAX_TTL_S:
        raise ValueError(f"got {seconds} s, expected 1m to {MAX_TTL_S // 86_400}d")
    return seconds


def _check_trust_wait(seconds: int) -> int:
    if seconds > MAX_TRUST_WAIT_S:
        raise ValueError(f"got {seconds} s, expected 1s to {MAX_TRUST_WAIT_S // 86_400}d")
    return seconds


def _check_command(command: str) -> str:
    check_critical_options([(FORCE_COMMAND, command)])
    return command


def _parse_key(line: object) -> PublicKey:
    if not isinstance(line, str):
        # ValueError, not TypeError: pydantic reports the former with its place in the document.
        raise ValueError("expected a public key line: type, base64, comment")  # noqa: TRY004
    return parse_public_key_line(line)


def _parse_source(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("expected a list of CIDR blocks, such as 10.8.0.0/16")
    return parse_networks(value)


def _no_duplicates(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("got the same value twice")
    return values


def _seconds(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("expected a duration such as 8h")  # noqa: TRY004 - as above
    return parse_duration(value)


Name = Annotated[str, AfterValidator(check_name)]
CustomerName = Annotated[str, AfterValidator(check_customer)]
HostGroupName = Annotated[str, AfterValidator(check_host_group)]
HostName = Annotated[str, AfterValidator(check_host_name)]
Login = Annotated[str, AfterValidator(check_login)]
Reference = Annotated[str, AfterValidator(check_reference)]
Permit = Annotated[str, AfterValidator(_check_permit)]
Key = Annotated[PublicKey, BeforeValidator(_parse_key)]
Source = Annotated[tuple[str, ...], BeforeValidator(_parse_source)]
Ttl = Annotated[int, BeforeValidator(_seconds), AfterValidator(_check_ttl)]
TrustWait = Annotated[int, BeforeValidator(_seconds), AfterValidator(_check_trust_wait)]
Command = Annotated[str, AfterValidator(_check_command)]
# pydantic gives `Field(...)` of a dataclass its meaning; the cap is far above any policy a person can read.
_CONFIG: Final = ConfigDict(extra="forbid", strict=False, arbitrary_types_allowed=True)
_many: Final = Field(max_length=100_000)


@table(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Customer:
    """``[[customer]]``: a tenant with CA keys of its own in the token."""

    name: CustomerName
    user_ca: Name
    host_ca: Name


@table(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class HostGroup:
    """``[[host_group]]``: hosts of one customer, by labels or by name.

    ``principals``: ``group`` makes a login's principal ``login@group``, ``login`` the bare login.
    """

    name: HostGroupName
    customer: CustomerName
    match: Annotated[dict[Name, str], Field(min_length=1, max_length=64)] | None = None
    hosts: Annotated[
        tuple[HostName, ...], Field(min_length=1, max_length=100_000), AfterValidator(_no_duplicates)
    ] = ()
    principals: Literal["group", "login"] = "group"

    def principal(self, login: str) -> str:
        """Return the principal of ``login`` on this group's hosts."""
        return login if self.principals == "login" else f"{login}@{self.name}"


@table(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Group:
    """``[[group]]``: identities under one name."""

    name: Name
    members: Annotated[tuple[Reference, ...], Field(min_length=1), _many, AfterValidator(_no_duplicates)]


@table(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Person:
    """``[[person]]``: the accounts of one human being, and the keys that sign for it."""

    name: Name
    identities: Annotated[tuple[Reference, ...], Field(min_length=1), AfterValidator(_no_duplicates)]
    keys: tuple[Key, ...] = ()


@table(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Who:
    """A grant's ``who``: groups of the document or of a provider, users, services. At least one."""

    groups: Annotated[tuple[str, ...], _many, AfterValidator(_no_duplicates)] = ()
    users: Annotated[tuple[Reference, ...], _many, AfterValidator(_no_duplicates)] = ()
    services: Annotated[tuple[Reference, ...], _many, AfterValidator(_no_duplicates)] = ()


@table(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Grant:
    """``[[grant]]``: who may log in on which host groups as what, for how long and under which limits."""

    name: Name
    who: Who
    on: Annotated[tuple[HostGroupName, ...], Field(min_length=1), AfterValidator(_no_duplicates)]
    logins: Annotated[
        tuple[Login, ...], Field(alias="as", min_length=1, max_length=256), AfterValidator(_no_duplicates)
    ]
    ttl_s: Annotated[Ttl, Field(alias="ttl")] = DEFAULT_USER_TTL_S
    source: Source | None = None
    force_command: Command | None = None
    permit: Annotated[tuple[Permit, ...], AfterValidator(_no_duplicates)] = ()
    break_glass: bool = False


@table(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Operator:
    """``[[operator]]``: who may order what of the appliance itself.

    ``keys`` sign orders; ``identities`` are whose reading, enrolling and cutting off the roles allow;
    ``customers`` are those whose auditor this is, and no other's.
    """

    name: Name
    keys: tuple[Key, ...] = ()
    identities: Annotated[tuple[Reference, ...], AfterValidator(_no_duplicates)] = ()
    roles: Annotated[tuple[Role, ...], Field(min_length=1), AfterValidator(_no_duplicates)]
    customers: Annotated[tuple[CustomerName, ...], AfterValidator(_no_duplicates)] = ()
    break_glass: bool = False


@table(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Limit:
    """``[[appliance.limit]]``: how many certificates each of those that it covers may ask for.

    ``burst`` is how many at once, after asking for less; None is as many as in a minute.
    """

    name: Name
    who: Who
    per_minute: Annotated[int, Field(alias="certificates_per_minute", ge=1, le=1_000_000)]
    burst: Annotated[int, Field(ge=1, le=10_000_000)] | None = None


@table(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Appliance:
    """``[appliance]``: rules for the appliance itself.

    ``two_operators``: verbs that no one orders alone; ``trust_wait_s``: how long hosts are told to trust a
    CA's key before it may sign.
    """

    two_operators: Annotated[tuple[str, ...], AfterValidator(_no_duplicates)] = ()
    trust_wait_s: Annotated[TrustWait, Field(alias="trust_wait")] = DEFAULT_TRUST_WAIT_S
    limits: Annotated[tuple[Limit, ...], Field(alias="limit"), _many] = ()


@table(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Document:
    """One file. ``customer`` makes it that customer's own: it can speak of nothing else."""

    version: Literal[1]
    customer: CustomerName | None = None
    customers: Annotated[tuple[Customer, ...], Field(alias="customer_tables")] = ()
    host_groups: Annotated[tuple[HostGroup, ...], Field(alias="host_group")] = ()
    groups: Annotated[tuple[Group, ...], Field(alias="group")] = ()
    persons: Annotated[tuple[Person, ...], Field(alias="person")] = ()
    grants: Annotated[tuple[Grant, ...], Field(alias="grant")] = ()
    operators: Annotated[tuple[Operator, ...], Field(alias="operator")] = ()
    appliance: Appliance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """The text of one file, under the name that decisions will cite."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledGrant:
    """A grant and the file that holds it: what the ledger cites."""

    file: str
    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A whole policy: all files together, in their order. Not checked for sense by being one."""

    files: tuple[PolicyFile, ...] = ()
    documents: tuple[tuple[str, Document], ...] = ()
    customers: dict[str, Customer] = field(default_factory=dict)
    host_groups: dict[str, HostGroup] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    persons: dict[str, Person] = field(default_factory=dict)
    operators: dict[str, Operator] = field(default_factory=dict)
    grants: tuple[FiledGrant, ...] = ()
    two_operators: frozenset[str] = frozenset()
    holders: Holders = field(init=False, repr=False, compare=False)
    person_names: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the grants and persons: whichever way a policy was made, the index is that of its tables."""
        holders = index_holders((filed.grant for filed in self.grants), self.groups)
        object.__setattr__(self, "holders", holders)
        persons = {name: person.name for person in self.persons.values() for name in person.identities}
        object.__setattr__(self, "person_names", persons)

    @property
    def appliance(self) -> Iterator[Appliance]:
        """The rules for the appliance itself, of each file that has any."""
        return (each.appliance for _, each in self.documents if each.appliance is not None)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """How many certificates may be asked for, of all files in their order."""
        return tuple(limit for each in self.appliance for limit in each.limits)

    @property
    def trust_wait_s(self) -> int:
        """For how long hosts are told to trust a CA's key before it may sign: the longest of the files'."""
        return max((each.trust_wait_s for each in self.appliance), default=DEFAULT_TRUST_WAIT_S)

    def who_is(self, identity: str) -> str:
        """Return the person who has this account (``provider:subject``), or the account if nobody has it."""
        return self.person_names.get(identity, identity)

    def held_by(self, identity: Identity) -> list[FiledGrant]:
        """Return the grants whose ``who`` covers an identity, in the order of the document."""
        return [self.grants[place] for place in self.holders.held_by(identity)]


_DOCUMENT: Final = TypeAdapter(Document)
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def parse_policy(files: Sequence[PolicyFile]) -> Policy:
    """Parse the files of a policy, each by itself; :func:`~appliance.policy.check.check_policy` comes next.

    Raises:
        PolicyError: with every problem of every file.
    """
    problems = _check_names(files)
    documents = []
    for file in files:
        try:
            documents.append((file.name, parse_document(file)))
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)
    return _join(files, documents)


def parse_document(file: PolicyFile) -> Document:
    """Parse one file.

    Raises:
        PolicyError: with every problem found.
    """
    if len(file.text.encode("utf-8", "surrogatepass")) > MAX_FILE:
        too_large = f"larger than {MAX_FILE} bytes; split it"
        raise PolicyError([Problem(file=file.name, where="", message=too_large)])
    try:
        tables = tomllib.loads(file.text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyError([Problem(file=file.name, where="", message=f"not TOML: {error}")]) from error
    # In the document both the file's own customer and the tables of customers are called `customer`: TOML
    # allows one of them in a file, and that is the rule: a customer's own file makes no customers.
    if isinstance(tables.get("customer"), list):
        tables["customer_tables"] = tables.pop("customer")
    try:
        return _DOCUMENT.validate_python(tables)
    except ValidationError as error:
        raise PolicyError(
            [
                Problem(file=file.name, where=_where(tables, entry["loc"]), message=_message(entry))
                for entry in error.errors(include_url=False)
            ]
        ) from error


def _check_names(files: Sequence[PolicyFile]) -> list[Problem]:
    problems = []
    if not 0 < len(files) <= MAX_FILES:
        message = f"got {len(files)} files, expected 1 to {MAX_FILES}"
        problems.append(Problem(file="policy", where="", message=message))
    seen = set()
    for file in files:
        if _FILE_NAME.fullmatch(file.name) is None:
            message = "file name: expected letters, digits, dots, dashes and underscores, at most 100"
            problems.append(Problem(file=file.name[:100], where="", message=message))
        if file.name in seen:
            problems.append(Problem(file=file.name, where="", message="two files have this name"))
        seen.add(file.name)
    return problems


def _where(tables: dict[str, Any], location: tuple[int | str, ...]) -> str:
    """Turn pydantic's location into the words of the document: ``grant "dba": on[0]``."""
    words: list[str] = []
    value: Any = tables
    for step in location:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(step, int) and words:
            named = isinstance(value, dict) and len(words) == 1
            words[-1] += f" {_quote(value, step)}:" if named else f"[{step}]"
        else:
            words.append("customer" if step == "customer_tables" else str(step))
    return " ".join([*words[:1], ".".join(words[1:])]).strip().removesuffix(":")


def _quote(table_: dict[str, Any], position: int) -> str:
    name = table_.get("name")
    return f'"{name[:80]}"' if isinstance(name, str) else f"number {position + 1}"


def _message(entry: Any) -> str:
    if entry["type"] == "unexpected_keyword_argument":
        return "unknown key; this version has no such feature, and what it does not know it refuses"
    if entry["type"] == "missing":
        return "is missing"
    cause = entry.get("ctx", {}).get("error")
    if isinstance(cause, SshFormatError | ValueError):
        return str(cause)
    return str(entry["msg"])[:1].lower() + str(entry["msg"])[1:]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def _by_name(tables: Iterable[_T]) -> dict[str, _T]:
    """Index tables by name; of two with one name the first is kept, and the check reports the second."""
    indexed: dict[str, _T] = {}
    for entry in tables:
        indexed.setdefault(entry.name, entry)
    return indexed


def _join(files: Sequence[PolicyFile], documents: Sequence[tuple[str, Document]]) -> Policy:
    parsed = [document for _, document in documents]
    return Policy(
        files=tuple(files),
        documents=tuple(documents),
        customers=_by_name(entry for document in parsed for entry in document.customers),
        host_groups=_by_name(entry for document in parsed for entry in document.host_groups),
        groups=_by_name(entry for document in parsed for entry in document.groups),
        persons=_by_name(entry for document in parsed for entry in document.persons),
        operators=_by_name(entry for document in parsed for entry in document.operators),
        grants=tuple(FiledGrant(file=name, grant=grant) for name, doc in documents for grant in doc.grants),
        two_operators=frozenset(
            verb for doc in parsed if doc.appliance is not None for verb in doc.appliance.two_operators
        ),
    )
