"""The operation that explains access."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.authority.fold.state import State
from appliance.authority.issuing.explaining import Explainable, Explainer, gather_now
from appliance.authority.operations.callers import find_caller
from appliance.authority.operations.parts import Parts, Table
from appliance.authority.transport.server import Peer, Reply
from appliance.authority.writer import At, ReadState
from appliance.explanations import ExplainBody
from appliance.requests import check_body


class Explaining:
    """What explains decisions, and makes none."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._explainer = Explainer()
        self._explainer.start()

    def table(self) -> Table:
        """Return the operations by their names."""
        return {"access.explain": self._explain}

    def _explain(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        """Explain what the grants say that concern an identity and a place."""
        caller, body = find_caller(self._parts, peer, args), check_body(ExplainBody, args.get("body"))
        self._parts.rates.charge(caller)

        def read(state: State, at: At) -> Explainable:
            return gather_now(state, caller, body, at.time_s)

        def answer(found: object) -> None:
            if isinstance(found, Explainable):
                self._explainer.submit(found, reply)
            else:
                reply(found)

        self._parts.writer.submit(ReadState(read, answer))
