"""The errors of the ledger: one root, so that an edge catches one class."""

from __future__ import annotations


class LedgerError(Exception):
    """Root of the ledger's errors: what happened, got and expected, what to do."""


class EntryError(LedgerError):
    """A value that no entry can hold, or bytes that are not an entry."""


class TooLarge(EntryError):
    """An entry of more bytes than the format allows; nothing was written, the batch goes on."""


class NoteError(LedgerError):
    """Text that is not a signed note, a checkpoint or a verifier key, or whose signature does not hold."""


class ProofError(LedgerError):
    """A proof that does not prove what it is said to, or text that is not a proof."""


class StoreError(LedgerError):
    """The store cannot be used as it is: missing, of another kind, unlinked or unreadable."""


class LedgerInUse(StoreError):
    """Another process has this ledger open for writing."""


class LedgerAltered(LedgerError):
    """An entry or checkpoint is not what was written: nothing may be issued on this ledger."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(f"altered at entry {seq}: {what}; run the verifier, issue nothing")
        self.seq = seq


class LedgerShort(LedgerError):
    """The log ends before a checkpoint that was signed over it: truncated or rolled back."""


class TilesDamaged(LedgerError):
    """Exported tiles that are missing or not what their checkpoint says: remove them and export again."""


class CommitUnknown(LedgerError):
    """A commit raised, so its outcome is unknown: stop, open the ledger again, reconcile.

    It may have persisted (a COMMIT that reports EIO can). Nobody may act as if it had not.
    """
