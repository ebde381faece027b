"""Why somebody might log in somewhere at a past moment, or might not: as the authority says it of now.

What it says rests on its state, and that goes on. So the state of the moment is made again, as far as an
explanation takes it: policy, hosts, CAs, locks, leave and approvals. Who was in a provider's group is not on
record; to be in one is a condition, or supposed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, cast

from appliance.authority.fold.records import AppliedPolicy, Ca, CaKey, Phase
from appliance.authority.fold.state import State
from appliance.authority.issuing.explaining import answer, check_asker, find_subjects, gather
from appliance.errors import Refusal
from appliance.explanations import ExplainBody
from appliance.identity.identity import Identity
from appliance.index.prefix import Prefix
from appliance.index.queries import Snapshot
from appliance.policy.evaluate import Host
from appliance.ssh.keys import parse_public_key_line
from audit.entry import decode_entry

# What can matter of what identities have asked for, and the keys that are revoked; each entry as it stands.
_EVIDENCE: Final = """
SELECT raw FROM evidence WHERE seq < :upto AND (approval IS NULL OR approval IN (
  SELECT seq FROM approval a WHERE identity IN (SELECT value FROM json_each(:names)) AND seq < :upto
  AND (answer_by_s > :at OR EXISTS (
    SELECT 1 FROM approval_answer WHERE approval = a.seq AND expires_s > :at))))
ORDER BY seq
"""


def explain_past(snapshot: Snapshot, caller: Identity, body: ExplainBody, at_ms: int) -> dict[str, Any]:
    """Explain access at a moment that has passed, to whoever may be told by the policy in force now.

    Raises:
        Refusal: as :func:`~appliance.authority.issuing.explaining.gather`, and ``not-found``, no policy was
            in force then.
    """
    if (in_force := snapshot.policy()) is None:
        raise Refusal("issuance-halted", "no policy has been applied; apply one first")
    everyone = check_asker(in_force, snapshot.locks(), caller, body)
    prefix = snapshot.prefix(at_ms)
    if (then := snapshot.policy(prefix.upto)) is None:
        raise Refusal("not-found", f"no policy was in force at {body.at}")
    found = find_subjects(then, body, caller)
    subjects = [replace(each, groups=frozenset()) if each is caller else each for each in found]
    state = state_at(snapshot, prefix, subjects, body.host)
    gathered = gather(state, subjects, body, at_s=prefix.at_s, everyone=everyone, knows_groups=False)
    return answer(gathered) | {"settled": prefix.settled, "ledger_size": prefix.size}


def state_at(snapshot: Snapshot, prefix: Prefix, identities: Iterable[Identity], host: str | None) -> State:
    """Return the state of a moment, as far as it is about these identities and this host."""
    state = State(max_ttl_s=snapshot.max_ttl_s())
    names = json.dumps([str(each) for each in identities])
    for row in snapshot.rows(_EVIDENCE, upto=prefix.upto, names=names, at=prefix.at_s):
        entry = decode_entry(row["raw"])
        state.applied = _applied(snapshot, entry.seq)
        state.apply(entry)
    state.approvals.forget(prefix.at_s)
    state.applied, state.size = _applied(snapshot, prefix.upto), prefix.upto
    state.locks, state.leaves = snapshot.locks(prefix.upto), snapshot.leaves(prefix)
    state.cas = _read_cas(snapshot, prefix.upto)
    if host is not None and (known := snapshot.host(host, prefix.upto)) is not None:
        labels = tuple(sorted(known.labels.items()))
        state.hosts[host] = Host(
            name=host, customer=known.customer, names=tuple(known.names), labels=labels, seq=known.seq
        )
    return state


def _applied(snapshot: Snapshot, upto: int) -> AppliedPolicy | None:
    seq, policy = snapshot.policy_seq(upto), snapshot.policy(upto)
    return None if seq is None or policy is None else AppliedPolicy(seq=seq, policy=policy)


def _read_cas(snapshot: Snapshot, upto: int) -> dict[str, Ca]:
    cas: dict[str, Ca] = {}
    for record in snapshot.ca_keys(upto=upto):
        key = CaKey(
            public_key=parse_public_key_line(record.public_key),
            fingerprint=record.fingerprint,
            phase=cast("Phase", record.phase),
            halted=record.halted,
        )
        keys = (*cas[record.ca].keys, key) if record.ca in cas else (key,)
        cas[record.ca] = Ca(name=record.ca, type=record.type, customer=record.customer, keys=keys)
    return cas
