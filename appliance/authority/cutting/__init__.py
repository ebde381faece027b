"""Cutting off: locks, revocations and leave.

``cutoff`` says which certificates end (pure), ``cutting`` ends them in as many transactions as they take;
``locks`` is what decisions ask (pure); ``locking``, ``revocation`` and ``leaving`` are the acts, and what
takes them back.
"""
