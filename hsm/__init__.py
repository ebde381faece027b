"""PKCS#11 keys as the private-key objects of :mod:`cryptography`.

Knows nothing of SSH, Flask or the ledger.
"""
