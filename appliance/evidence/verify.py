"""One pass over a log: the structural verifier reads and checks each entry, and hands it on to be judged.

Replay shows that the authority followed its recorded policy, not that the policy was wise, nor that a CA key
has signed nothing else: for that, sshd's logs are matched with the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.evidence.findings import Finding
from appliance.evidence.judging import Evidence
from audit.verifier import EntrySource, Report, Verdict, verify_log


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReport:
    """The outcome: what structure and meaning gave, and how much of each was checked."""

    structure: Report
    findings: tuple[Finding, ...]
    finding_count: int
    checked: Mapping[str, int]
    verdict: Verdict

    def to_json(self) -> str:
        """Render the report as one JSON object."""
        structure: dict[str, Any] = json.loads(self.structure.to_json())
        data = {
            **structure,
            "verdict": self.verdict.name.lower(),
            "findings": [*structure["findings"], *(finding.to_data() for finding in self.findings)],
            "finding_count": structure["finding_count"] + self.finding_count,
            "checked": dict(self.checked),
        }
        return json.dumps(data, sort_keys=True, indent=2)


def verify_evidence(
    source: EntrySource,
    *,
    pinned_key: str | None = None,
    earlier: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> EvidenceReport:
    """Verify a whole log, from its first entry on; arguments as :func:`audit.verifier.verify_log` has them.

    Raises:
        UsageError: the pinned key or the earlier checkpoint is malformed.
    """
    evidence = Evidence()
    structure = verify_log(
        source, pinned_key=pinned_key, earlier=earlier, on_entry=evidence.take, on_progress=on_progress
    )
    evidence.conclude(structure.size)
    verdicts = {structure.verdict, evidence.findings.verdict}
    worst = next(
        each for each in (Verdict.TAMPERED, Verdict.INCONCLUSIVE, Verdict.VERIFIED) if each in verdicts
    )
    return EvidenceReport(
        structure=structure,
        findings=tuple(evidence.findings),
        finding_count=evidence.findings.count,
        checked=dict(evidence.checked),
        verdict=worst,
    )
