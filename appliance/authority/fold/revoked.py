"""What the KRLs are made of, as entries leave it: serials by CA key, ranges of them, and keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.ssh.serials import Range


@dataclass(slots=True)
class Revoked:
    """What is revoked. ``changes`` counts what a KRL must say sooner than it is renewed anyway.

    ``seqs`` are the intents of this log's certificates, ``ranges`` are of any log's serials, both by the
    fingerprint of the CA key; ``keys`` are fingerprints, each with the entry that revoked it.
    """

    seqs: dict[str, set[int]] = field(default_factory=dict)
    ranges: dict[str, list[Range]] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    changes: int = 0

    def add(self, ca_key: str, seq: int) -> None:
        """Add a certificate."""
        seqs = self.seqs.setdefault(ca_key, set())
        if seq not in seqs:
            seqs.add(seq)
            self.changes += 1

    def forget(self, ca_key: str, seq: int) -> None:
        """Leave out a certificate that no host takes any more; the next renewal is soon enough."""
        self.seqs.get(ca_key, set()).discard(seq)

    def add_range(self, ca_key: str, serials: Range) -> None:
        """Add serials, whether there are certificates or not."""
        self.ranges.setdefault(ca_key, []).append(serials)
        self.changes += 1

    def add_key(self, key: str, seq: int) -> None:
        """Add a key; the first entry about it counts."""
        self.keys.setdefault(key, seq)
        self.changes += 1
