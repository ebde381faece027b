"""What the authority tells an operator of itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from appliance.authority.life import Checkpointer
from appliance.authority.state import State
from appliance.authority.writer import At, Writer
from hsm.token import Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The parts that are asked."""

    token: Token
    writer: Writer
    checkpointer: Checkpointer
    started_ms: int

    def read(self, state: State, at: At) -> dict[str, Any]:
        """Return the status; on the writer's thread, so that it is of one moment."""
        checkpoint = self.checkpointer.last
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
            "token": {
                "label": self.token.label,
                "manufacturer": self.token.manufacturer,
                "model": self.token.model,
                "serial": self.token.serial,
            },
            "cas": [
                {
                    "name": ca.name,
                    "type": ca.type,
                    "customer": ca.customer,
                    "key": key.fingerprint,
                    "phase": key.phase,
                    "halted": key.halted,
                }
                for ca in state.cas.values()
                for key in ca.keys
            ],
            "problems": list(self._problems(state)),
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
                        f"the CA {name} is halted: the token gave a bad signature for {key.fingerprint}"
                    )
        return problems
