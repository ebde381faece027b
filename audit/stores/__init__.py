"""Where a ledger's bytes are kept: one Protocol, and its implementations."""
