"""The authority: the one process that holds the PIN and the ledger, and so the only one that can sign.

A certificate's way through it: ``server`` takes the request from the socket, ``issuance`` decides and
records the intent in the ``writer``'s transaction, ``signing`` has the token sign, ``issuance`` records
the outcome, and only then the reply leaves.

What decisions rest on besides is in the ``state``, each kind in a module of its own, and the commands that
change it are beside it:

- cutting off: ``cutoff`` says what is revoked, ``cutting`` and ``revocation`` do it, ``locks`` and
  ``locking`` are about locks, ``cuts`` and ``revoked`` fold them; ``krl`` and ``listing`` make KRLs of it;
- leave: ``leaves`` and ``leaving``; approvals: ``approvals``, ``approving``, and ``answers`` for signatures;
- CA keys: ``ca_keys``, ``rotation``, ``ceremony``; what hosts get: ``bundle`` and ``bundling``;
- orders: ``orders`` verifies them, ``commands`` has what they can say, ``administration`` does it.
"""
