"""The first entries of a log: its keys, the first policy, and the CAs that the policy names.

They are written in one batch: there is a whole log, or none. The orders carry policy seq 0 and are checked
against the very policy that they bring; so whoever founds a log makes the first operators.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.authority.cas.ceremony import key_label
from appliance.authority.cas.rotation import new_key_events
from appliance.authority.events import Event, LogOpened, OrderData
from appliance.authority.fold.state import State
from appliance.authority.ordering.administration import check_files, policy_events
from appliance.authority.ordering.commands import ApplyPolicy, CommandBody, CreateCa
from appliance.authority.orders import OrderBody, OrderContext, verify_orders
from appliance.policy.document import Policy, PolicyFile
from appliance.ssh.keys import format_public_key_line, from_cryptography
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.ledger import Ledger
from audit.note import NotePrivateKey, format_vkey, vkey_for
from audit.stores.store import Store
from hsm.algorithm import Algorithm
from hsm.token import Token

DEFAULT_MAX_TTL_S: Final = 31 * 86_400

# Signs an order for a command: gets the command and the seq of the policy.
SignOrder = Callable[[Mapping[str, object], int], OrderBody]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to found: the log's name and number, the first policy, the kind of key that CAs get."""

    origin: str
    log_number: int
    files: tuple[PolicyFile, ...]
    ca_algorithm: Algorithm
    software: str
    max_ttl_s: int = DEFAULT_MAX_TTL_S


def found_log(
    store: Store,
    token: Token,
    plan: Plan,
    sign_order: SignOrder,
    *,
    nonce: bytes,
    now_ms: int,
    on_progress: Callable[[str], None],
) -> State:
    """Make the keys, write the first entries and sign a checkpoint over them; return the state.

    A failure leaves no log, but keys on the token: begin anew with a new token.

    Raises:
        Refusal: the policy is none, or no operator of it has signed.
        HsmError: the token did not make or use a key.
        LedgerError: the log could not be written.
    """
    apply = ApplyPolicy.of(plan.files)
    policy = check_files(apply, plan.files, now_s=now_ms // 1000)
    context = OrderContext(
        origin=plan.origin, policy=policy, policy_seq=0, spent=frozenset(), now_s=now_ms // 1000
    )

    def order(command: CommandBody) -> list[OrderData]:
        members = command.to_command()
        return verify_orders(members, [sign_order(members, 0)], context)

    on_progress("signing the first policy")
    ledger_key, opened = _make_log_keys(token, plan, nonce, on_progress)
    events = [opened, *policy_events(apply, policy, 1, order(apply))]
    for create in plan_cas(policy, plan.ca_algorithm):
        on_progress(f"making the CA {create.name} ({create.algorithm})")
        made = token.generate(key_label(create.name), plan.ca_algorithm)
        events += new_key_events(create, create, made, order(create))
    return _write(store, plan.origin, events, ledger_key, now_ms)


def plan_cas(policy: Policy, algorithm: Algorithm) -> Iterator[CreateCa]:
    """Yield the command for each CA that the policy's customers name."""
    for customer in policy.customers.values():
        for kind, name in (("user", customer.user_ca), ("host", customer.host_ca)):
            yield CreateCa.model_validate(
                {
                    "name": name,
                    "type": kind,
                    "algorithm": algorithm.value,
                    "customer": customer.name,
                    "phase": "signing",
                }
            )


def _make_log_keys(
    token: Token, plan: Plan, nonce: bytes, on_progress: Callable[[str], None]
) -> tuple[NotePrivateKey, Event]:
    """Make the keys that speak for the log, and return the ledger's with entry 0."""
    # Public witnesses want Ed25519; P-256 is what every token makes.
    wanted = Algorithm.ED25519 if Algorithm.ED25519 in token.algorithms else Algorithm.ECDSA_P256
    made = {}
    for purpose in ("ledger", "bundle", "probe"):
        on_progress(f"making the {purpose} key ({wanted})")
        made[purpose] = token.generate(f"{purpose}-{plan.log_number}", wanted).record
    ledger_key = token.private_key(made["ledger"].public_key)
    if not isinstance(ledger_key, NotePrivateKey):  # for the type checker: both kinds above are
        raise TypeError("a ledger key is Ed25519 or P-256")
    opened = LogOpened(
        format=1,
        origin=plan.origin,
        log_number=plan.log_number,
        nonce=base64.b64encode(nonce).decode(),
        ledger_key=format_vkey(vkey_for(plan.origin, ledger_key.public_key())),
        bundle_key=format_public_key_line(from_cryptography(made["bundle"].public_key)),
        probe_key=format_public_key_line(from_cryptography(made["probe"].public_key)),
        max_ttl_s=plan.max_ttl_s,
        software=plan.software,
    )
    return ledger_key, Event(kind="log.opened", data=opened)


def _write(
    store: Store, origin: str, events: Sequence[Event], ledger_key: NotePrivateKey, now_ms: int
) -> State:
    ledger, state = Ledger.create(store), State()
    with ledger.batch(now_ms) as batch:
        for event in events:
            state.apply(batch.append(event.kind, event.data))
    note = sign_checkpoint(Checkpoint(origin, ledger.size, ledger.root), ledger_key)
    with ledger.batch(now_ms) as batch:
        batch.add_checkpoint(note, ledger.size)
    return state
