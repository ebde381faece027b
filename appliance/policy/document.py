"""The policy document: TOML files in, one frozen :class:`Policy` out."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from appliance.errors import ChanceryError
from appliance.identity.identity import Identity
from appliance.policy.holders import Fleets, Holders, index_holders, index_host_groups
from appliance.policy.opening import ALWAYS, Hours
from appliance.policy.places import explain, format_place
from appliance.policy.schedules import Calendar, Schedule, Timetable
from appliance.policy.tables import (
    Appliance,
    Customer,
    Document,
    Grant,
    Group,
    HostGroup,
    Limit,
    Operator,
    Person,
)
from appliance.policy.values import DEFAULT_TRUST_WAIT_S
from appliance.policy.zones import load_zone

MAX_FILE: Final = 1_048_576  # bytes of one policy file
MAX_FILES: Final = 1_000


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
    """A whole policy: all files together, in their order. Not checked for sense by being one.

    ``calendars`` are the holidays that it was applied with, by the names that its schedules have for them.
    """

    files: tuple[PolicyFile, ...] = ()
    documents: tuple[tuple[str, Document], ...] = ()
    customers: dict[str, Customer] = field(default_factory=dict)
    host_groups: dict[str, HostGroup] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    persons: dict[str, Person] = field(default_factory=dict)
    operators: dict[str, Operator] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    calendars: dict[str, Calendar] = field(default_factory=dict)
    grants: tuple[FiledGrant, ...] = ()
    two_operators: frozenset[str] = frozenset()
    holders: Holders = field(init=False, repr=False, compare=False)
    fleets: Fleets = field(init=False, repr=False, compare=False)
    person_names: dict[str, str] = field(init=False, repr=False, compare=False)
    timetables: dict[str, Timetable] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index what is looked up: whichever way a policy was made, the index is that of its tables."""
        grants = [filed.grant for filed in self.grants]
        holders = index_holders(((each.name, each.who, each.on) for each in grants), self.groups)
        object.__setattr__(self, "holders", holders)
        object.__setattr__(self, "fleets", index_host_groups(self.host_groups.values()))
        persons = {name: person.name for person in self.persons.values() for name in person.identities}
        object.__setattr__(self, "person_names", persons)
        timetables = {name: self._timetable(schedule) for name, schedule in self.schedules.items()}
        object.__setattr__(self, "timetables", timetables)

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

    def hours(self, grant: Grant) -> Hours:
        """Return when a grant gives anything."""
        if grant.when is None and grant.first is None and grant.last is None:
            return ALWAYS
        timetable = None if grant.when is None else self.timetables[grant.when]
        return Hours(timetable=timetable, first=grant.first, last=grant.last)

    def _timetable(self, schedule: Schedule) -> Timetable:
        calendar = None
        if schedule.holidays is not None:
            # Of holidays that nobody has looked up none is known, in no year: that is shut, and never open.
            unknown = Calendar(name=schedule.holidays, first_year=1, last_year=0, dates=frozenset())
            calendar = self.calendars.get(schedule.holidays, unknown)
        return Timetable(zone=load_zone(schedule.timezone), windows=schedule.windows, calendar=calendar)

    def held_by(self, identity: Identity) -> list[FiledGrant]:
        """Return the grants whose ``who`` covers an identity, in the order of the document."""
        return [self.grants[place] for place in self.holders.held_by(identity)]


_DOCUMENT: Final = TypeAdapter(Document)
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def parse_policy(files: Sequence[PolicyFile], calendars: Iterable[Calendar] = ()) -> Policy:
    """Parse the files of a policy, each by itself; :func:`~appliance.policy.check.check_policy` comes next.

    ``calendars`` are the holidays on record; :func:`~appliance.policy.holidays.with_holidays` finds those
    of a policy that is about to be applied.

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
    return _join(files, documents, calendars)


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
                Problem(file=file.name, where=format_place(tables, entry["loc"]), message=explain(entry))
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


def _join(
    files: Sequence[PolicyFile], documents: Sequence[tuple[str, Document]], calendars: Iterable[Calendar]
) -> Policy:
    parsed = [document for _, document in documents]
    return Policy(
        files=tuple(files),
        documents=tuple(documents),
        customers=_by_name(entry for document in parsed for entry in document.customers),
        host_groups=_by_name(entry for document in parsed for entry in document.host_groups),
        groups=_by_name(entry for document in parsed for entry in document.groups),
        persons=_by_name(entry for document in parsed for entry in document.persons),
        operators=_by_name(entry for document in parsed for entry in document.operators),
        schedules=_by_name(entry for document in parsed for entry in document.schedules),
        calendars=_by_name(calendars),
        grants=tuple(FiledGrant(file=name, grant=grant) for name, doc in documents for grant in doc.grants),
        two_operators=frozenset(
            verb for doc in parsed if doc.appliance is not None for verb in doc.appliance.two_operators
        ),
    )
