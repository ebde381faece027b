"""Alarms on their way into the index: found as entries come, with the policy in force at hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.alarms.rules import find_alarms, marked_grants
from appliance.index.portion import Portion
from appliance.index.recorded import Recorded
from appliance.policy.document import Policy, PolicyError, PolicyFile, parse_policy


@dataclass(slots=True)
class Watch:
    """What finding alarms needs to know: the policy in force after the last entry, and its marked grants."""

    policy: Policy
    marked: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def resume(cls, portion: Portion) -> Watch:
        """Go on from what the index has."""
        policy = _read_policy(portion)
        return cls(policy=policy, marked=marked_grants(policy))

    def take(self, portion: Portion, entry: Recorded) -> None:
        """Add the alarms of the next entry, whose own rows are there already."""
        # Nearly all entries are certificates': they go by as fast as they can.
        if entry.kind.startswith("certificate.") and not self._is_marked(entry):
            return
        before = self.policy
        if entry.kind == "policy.applied":
            self.policy = _read_policy(portion)
            self.marked = marked_grants(self.policy)
        for number, alarm in enumerate(find_alarms(entry, before, self.policy)):
            row = (alarm.event, alarm.severity, alarm.summary, json.dumps(alarm.details))
            portion.add("alarm", entry.seq, number, entry.time_ms, *row)

    def _is_marked(self, entry: Recorded) -> bool:
        """Say whether a certificate rests on a grant that is for emergencies only."""
        if not self.marked or entry.kind != "certificate.intent":
            return False
        data: Mapping[str, Any] = entry.data
        return any((grant["file"], grant["name"]) in self.marked for grant in data.get("grants", ()))


def _read_policy(portion: Portion) -> Policy:
    """Read the policy in force; one that this version cannot read is, for alarms, one without marks."""
    files = portion.read(
        "SELECT name, text FROM policy_file WHERE policy = (SELECT max(seq) FROM policy) ORDER BY position"
    )
    if not files:
        return Policy()
    try:
        return parse_policy([PolicyFile(name=name, text=text) for name, text in files])
    except PolicyError:
        return Policy()
