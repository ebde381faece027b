"""The ledger: a hash-chained, append-only log whose chain and Merkle tree share their hashes.

Knows nothing of Flask, PKCS#11, or what an entry's data means.
"""
