"""Checks what entries mean, offline and without secrets: that the authority followed its recorded policy.

The structural verifier (:mod:`audit.verifier`) shows that the entries are those that were written. Here each
is held against the state that the ones before it fold to: signatures by the CA, outcomes, operators' orders,
and for each certificate the decision itself, replayed.
"""
