"""SSH's own formats: keys, signatures, certificates, SSHSIG.

Pure functions on bytes and frozen dataclasses: no I/O, no clock, no randomness. Stands on the standard
library and :mod:`cryptography` alone, so that a verifier can carry it anywhere.
"""
