"""The authority: the one process that holds the PIN and the ledger, and so the only one that can sign.

A certificate's way through it: ``server`` takes the request from the socket, ``issuance`` decides and
records the intent in the ``writer``'s transaction, ``signing`` has the token sign, ``issuance`` records
the outcome, and only then the reply leaves.
"""
