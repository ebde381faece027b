"""What operators order, carried out: the order is verified in the writer, beside the state that it concerns.

Each verb has one function from command and state to events. They are pure; whatever they need beyond the
state (a policy's text) comes in with the command.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from appliance.authority.events import (
    AppliedFile,
    CredentialCreated,
    Event,
    HostRegistered,
    HostRemoved,
    OrderData,
    PolicyApplied,
    PolicyFilePart,
)
from appliance.authority.fold.standing import standing_in
from appliance.authority.fold.state import State
from appliance.authority.ordering.commands import (
    AddHost,
    ApplyPolicy,
    CommandBody,
    CreateCredential,
    RemoveHost,
)
from appliance.authority.orders import OrderBody, OrderContext, verify_orders
from appliance.authority.writer import At, Decided
from appliance.errors import Refusal
from appliance.policy.check import check_policy
from appliance.policy.document import Policy, PolicyError, PolicyFile, parse_policy
from appliance.policy.evaluate import EVALUATOR
from appliance.policy.holidays import calendar_to_data, with_holidays
from audit.entry import Entry, canonical_json

# Of one policy.file entry; the second is what its text may take as JSON, where a quote or a newline is two
# bytes, with room for the rest of an entry of 60 000.
MAX_PART_BYTES: Final = 40_000
MAX_PART_JSON: Final = 55_000

Answer = Callable[[Sequence[Entry] | Refusal], None]
Build = Callable[[State, At, list[OrderData]], list[Event]]


class CarryOut:
    """An ordered command on its way through the writer."""

    def __init__(
        self, command: CommandBody, orders: Sequence[OrderBody], build: Build, answer: Answer
    ) -> None:
        self._command = command
        self._orders = orders
        self._build = build
        self._answer = answer

    def decide(self, state: State, at: At) -> Decided:
        """Verify the orders under the policy in force, and build the events."""
        applied = state.in_force()
        context = OrderContext(
            origin=state.origin,
            policy=applied.policy,
            policy_seq=applied.seq,
            spent=state.spent_orders,
            now_s=at.time_s,
            standing=standing_in(state, applied.policy),
        )
        orders = verify_orders(self._command.to_command(), self._orders, context)
        return Decided(events=self._build(state, at, orders), after=self._answer)

    def refuse(self, refusal: Refusal) -> None:
        """Answer that nothing was done."""
        self._answer(refusal)


def apply_policy(
    command: ApplyPolicy,
    files: Sequence[PolicyFile],
    orders: Sequence[OrderBody],
    answer: Answer,
    *,
    now_s: int,
) -> CarryOut:
    """Apply a policy whose texts are ``files``, with the holidays of the years from ``now_s`` on.

    Raises:
        Refusal: ``malformed-request``, the texts are no policy, or not those that were ordered.
    """
    return CarryOut(command, orders, prepare_policy(command, files, now_s=now_s), answer)


def prepare_policy(command: ApplyPolicy, files: Sequence[PolicyFile], *, now_s: int) -> Build:
    """Read the texts of a policy, seconds for a large one; raises as :func:`apply_policy`."""
    return partial(_build_policy, command, check_files(command, files, now_s=now_s))


def check_files(command: ApplyPolicy, files: Sequence[PolicyFile], *, now_s: int) -> Policy:
    """Check that the texts are the ordered ones, and that they are a policy; return it with its holidays."""
    digests = [(file.name, hashlib.sha256(file.text.encode()).hexdigest()) for file in files]
    if digests != [(file.name, file.sha256) for file in command.files]:
        raise Refusal("malformed-request", "files: not the ones that were ordered", field="files")
    try:
        policy = parse_policy(files)
        check_policy(policy)
        policy = with_holidays(policy, now_s)
    except PolicyError as error:
        problems = [str(problem) for problem in error.problems[:50]]
        raise Refusal("malformed-request", problems[0], field="files", problems=problems) from error
    return policy


def add_host(command: AddHost, orders: Sequence[OrderBody], answer: Answer) -> CarryOut:
    """Register a host."""
    return CarryOut(command, orders, partial(_build_host, command), answer)


def remove_host(command: RemoveHost, orders: Sequence[OrderBody], answer: Answer) -> CarryOut:
    """Remove a host."""
    return CarryOut(command, orders, partial(_build_removal, command), answer)


def create_credential(command: CreateCredential, orders: Sequence[OrderBody], answer: Answer) -> CarryOut:
    """Put an API credential on record."""
    return CarryOut(command, orders, partial(_build_credential, command), answer)


def policy_events(command: ApplyPolicy, policy: Policy, seq: int, orders: list[OrderData]) -> list[Event]:
    """Return the entries of a policy, the first of which will be entry ``seq``."""
    events: list[Event] = []
    applied: list[AppliedFile] = []
    for file, (_, document) in zip(policy.files, policy.documents, strict=True):
        parts = list(split_text(file.text))
        first = seq + len(events)
        for number, text in enumerate(parts):
            data = PolicyFilePart(name=file.name, part=number, parts=len(parts), text=text)
            if document.customer is not None:
                data["customer"] = document.customer
            events.append(Event(kind="policy.file", data=data))
        digest = hashlib.sha256(file.text.encode()).hexdigest()
        seqs = list(range(first, first + len(parts)))
        applied.append(AppliedFile(name=file.name, sha256=digest, seqs=seqs))
    done = PolicyApplied(files=applied, evaluator=EVALUATOR, command=command.to_command(), orders=orders)
    if policy.calendars:
        done["holidays"] = [calendar_to_data(each) for _, each in sorted(policy.calendars.items())]
    return [*events, Event(kind="policy.applied", data=done)]


def split_text(text: str) -> Iterator[str]:
    """Split a text into parts that each fit an entry, never inside a character. Empty text is one part."""
    start = 0
    while True:
        end = min(len(text), start + MAX_PART_BYTES)
        while not _fits(text[start:end]):
            end = start + (end - start) * 3 // 4
        yield text[start:end]
        start = end
        if start == len(text):
            return


def _fits(part: str) -> bool:
    return len(part.encode()) <= MAX_PART_BYTES and len(canonical_json(part)) <= MAX_PART_JSON


def _build_policy(
    command: ApplyPolicy, policy: Policy, _state: State, at: At, orders: list[OrderData]
) -> list[Event]:
    return policy_events(command, policy, at.seq, orders)


def _build_host(command: AddHost, state: State, _at: At, orders: list[OrderData]) -> list[Event]:
    if command.customer not in state.in_force().policy.customers:
        raise Refusal(
            "malformed-request", f"customer: there is no customer {command.customer!r}", field="customer"
        )
    others = {name: host for host in state.hosts.values() if host.name != command.name for name in host.names}
    taken = [name for name in command.names if name in others]
    if taken:
        raise Refusal("conflict", f"{taken[0]} is a name of the host {others[taken[0]].name} already")
    ordered = command.to_command()
    data = HostRegistered(
        name=command.name,
        customer=command.customer,
        names=list(command.names),
        labels=ordered["labels"],
        command=ordered,
        orders=orders,
    )
    return [Event(kind="host.registered", data=data)]


def _build_removal(command: RemoveHost, state: State, _at: At, orders: list[OrderData]) -> list[Event]:
    if command.name not in state.hosts:
        raise Refusal("not-found", f"{command.name} is not registered")
    data = HostRemoved(name=command.name, command=command.to_command(), orders=orders)
    return [Event(kind="host.removed", data=data)]


def _build_credential(
    command: CreateCredential, state: State, _at: At, orders: list[OrderData]
) -> list[Event]:
    if command.id in state.credentials:
        raise Refusal("conflict", f"there is a credential {command.id} already")
    ordered = command.to_command()
    members: dict[str, Any] = {name: value for name, value in ordered.items() if name != "verb"}
    data = CredentialCreated(**members, command=ordered, orders=orders)  # type: ignore[typeddict-item]
    return [Event(kind="credential.created", data=data)]
