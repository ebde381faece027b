"""The index: what the ledger says, arranged for questions. Derived, rebuilt at will, trusted for nothing.

``projection`` writes it, entry by entry; ``queries`` and ``access`` read it; ``process`` is what runs.
"""
