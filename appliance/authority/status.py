"""What the authority tells an operator of itself."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from appliance.authority.advice import advise
from appliance.authority.fold.state import State
from appliance.authority.issuing.admission import Admission
from appliance.authority.life import Checkpointer
from appliance.authority.writer import At, Writer
from hsm.health import Snapshot
from hsm.pool import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The parts that are asked."""

    pool: Pool
    admission: Admission
    module: str
    restarts: bool
    writer: Writer
    checkpointer: Checkpointer
    started_ms: int

    def read(self, state: State, at: At) -> dict[str, Any]:
        """Return the status; on the writer's thread, so that it is of one moment."""
        checkpoint, token = self.checkpointer.last, self.pool.snapshot()
        return {
            "origin": state.origin,
            "log_number": state.log_number,
            "size": at.tree.size,
            "head_ms": state.head_ms,
            "now_ms": at.time_ms,
            "started_ms": self.started_ms,
            "pid": os.getpid(),
            "policy": 0 if state.applied is None else state.applied.seq,
            "checkpoint_size": 0 if checkpoint is None else checkpoint[0],
            "waiting": self.writer.waiting,
            "open_intents": len(state.open_intents),
            "live_certificates": len(state.certificates),
            "under_way": self.admission.under_way,
            "token": self._token(token),
            "cas": [
                {
                    "name": ca.name,
                    "type": ca.type,
                    "customer": ca.customer,
                    "key": key.fingerprint,
                    "phase": key.phase,
                    "halted": key.halted,
                    "since_ms": key.since_ms,
                }
                for ca in state.cas.values()
                for key in ca.keys
            ],
            "problems": [
                *advise(token, self.pool.limits, module=self.module, restarts=self.restarts),
                *self._problems(state),
            ],
        }

    def _token(self, now: Snapshot) -> dict[str, Any]:
        token, counts = self.pool.token, now.counts
        described = {name: getattr(token, name, "") for name in ("label", "manufacturer", "model", "serial")}
        last = counts.last_trouble
        return described | {
            "condition": now.condition.value,
            "problem": now.problem,
            "for_s": round(now.for_s, 1),
            "sessions": now.sessions,
            "busy": now.busy,
            "overran": now.overran,
            "longest_call_s": round(now.longest_call_s, 3),
            "queued": now.queued,
            "calls": counts.calls,
            "failed": counts.failed,
            "call_ms": round(1000 * counts.call_s, 3),
            "recoveries": [
                {"rung": rung.name.lower(), "cause": cause, "count": count}
                for (rung, cause), count in counts.rungs.items()
            ],
            "last_trouble": last
            and {
                "rung": last.rung.name.lower(),
                "cause": last.cause,
                "ago_s": round(time.monotonic() - last.at_s, 1),
            },
        }

    def _problems(self, state: State) -> list[str]:
        """Return what keeps certificates from being issued, in words with what to do about it."""
        problems = [] if self.checkpointer.problem is None else [self.checkpointer.problem]
        if state.applied is None:
            return [*problems, "no policy has been applied: run `chancery policy apply`"]
        for customer in state.applied.policy.customers.values():
            for name in (customer.user_ca, customer.host_ca):
                ca = state.cas.get(name)
                key = None if ca is None else ca.signing_key
                if key is None:
                    problems.append(f"the CA {name} of {customer.name} has no key that signs: create one")
                elif key.halted:
                    problems.append(
                        f"the CA {name} is halted: the token gave a bad signature for {key.fingerprint}; "
                        f"`chancery ca rotate {name}`, then `ca promote` and `ca retire` (docs/rotation.md)"
                    )
        return problems
