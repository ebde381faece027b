"""The structural verifier of the ledger: offline, without secrets, written apart from the writer on purpose.

It shares no code with the rest of :mod:`audit` but SHA-256, so that one mistake cannot hide itself in both.
docs/formats/ledger.md is the specification of each.
"""

from .bundle import verify_bundle
from .entry import Entry
from .errors import UsageError, VerifierError
from .log import verify_log
from .report import Code, Finding, Report, Verdict
from .resume import ResumeState
from .sources import EntrySource
from .sqlite_source import SqliteSource
from .tiles_source import TilesSource

__all__ = [
    "Code",
    "Entry",
    "EntrySource",
    "Finding",
    "Report",
    "ResumeState",
    "SqliteSource",
    "TilesSource",
    "UsageError",
    "Verdict",
    "VerifierError",
    "verify_bundle",
    "verify_log",
]
