"""What a check of meaning found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final

from appliance.errors import ChanceryError
from appliance.ssh.errors import SshFormatError
from audit.verifier import Verdict

# As in the structural report: a reader needs the first few of each.
KEPT_PER_CODE: Final = 16


class Code(StrEnum):
    """What a finding is about. All of them mean tampering but those in ``INCONCLUSIVE_CODES``."""

    BAD_MEANING = "bad-meaning"
    WRONG_INTENT = "wrong-intent"
    NOT_ALLOWED = "not-allowed"
    WRONG_DENIAL = "wrong-denial"
    BAD_CA_SIGNATURE = "bad-ca-signature"
    WRONG_OUTCOME = "wrong-outcome"
    BAD_ORDER = "bad-order"
    NOT_ENTITLED = "not-entitled"
    SHARED_KEY = "shared-key"
    WRONG_CUT = "wrong-cut"
    WRONG_LEAVE = "wrong-leave"
    OMITTED_REVOCATION = "omitted-revocation"
    WRONG_APPROVAL = "wrong-approval"
    WRONG_STEP = "wrong-step"
    WRONG_USE = "wrong-use"

    OPEN_CUT = "open-cut"
    OPEN_INTENT = "open-intent"
    UNKNOWN_KIND = "unknown-kind"
    OTHER_TIME_ZONES = "other-time-zones"
    OTHER_HOLIDAYS = "other-holidays"


INCONCLUSIVE_CODES: Final = frozenset(
    {Code.OPEN_CUT, Code.OPEN_INTENT, Code.UNKNOWN_KIND, Code.OTHER_TIME_ZONES, Code.OTHER_HOLIDAYS}
)


# What malformed data, which the schemas let pass, raise in code that reads them.
MALFORMED: Final = (ChanceryError, SshFormatError, ValueError, LookupError, TypeError, AttributeError)


def say(error: Exception) -> str:
    """Return in a line what such an error says."""
    if isinstance(error, KeyError):
        return f"no {error}"
    return str(error).splitlines()[0] if str(error) else "malformed"


class Found(ChanceryError):
    """What a check of an entry finds; ``code`` says what of."""

    code: ClassVar[Code]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong or missing, and the entry it is about."""

    code: Code
    message: str
    seq: int

    @property
    def verdict(self) -> Verdict:
        """What this finding alone makes of the log."""
        return Verdict.INCONCLUSIVE if self.code in INCONCLUSIVE_CODES else Verdict.TAMPERED

    def to_data(self) -> dict[str, object]:
        """Return the finding as JSON data."""
        return {
            "code": self.code,
            "message": self.message,
            "verdict": self.verdict.name.lower(),
            "seq": self.seq,
        }


@dataclass(slots=True)
class Findings:
    """Collects findings in bounded memory."""

    kept: list[Finding] = field(default_factory=list)
    counts: Counter[Code] = field(default_factory=Counter)

    def add(self, code: Code, seq: int, message: str) -> None:
        """Count a finding, and keep it if it is among the first of its code."""
        self.counts[code] += 1
        if self.counts[code] <= KEPT_PER_CODE:
            self.kept.append(Finding(code=code, message=message, seq=seq))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.kept)

    @property
    def count(self) -> int:
        """How many there are, those too that are not kept."""
        return self.counts.total()

    @property
    def verdict(self) -> Verdict:
        """Tampered beats inconclusive; verified is what is left when nothing at all was found."""
        if not self.counts:
            return Verdict.VERIFIED
        return Verdict.INCONCLUSIVE if self.counts.keys() <= INCONCLUSIVE_CODES else Verdict.TAMPERED
