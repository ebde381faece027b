"""The certificate authority itself: SSH formats, policy, identity, the authority process, web tier and CLI.

Stands on :mod:`audit` (the ledger) and :mod:`hsm` (keys in a PKCS#11 token); neither knows of it.
"""
