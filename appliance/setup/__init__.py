"""Making a data directory: configuration, SoftHSM token, TLS key pair, log, and who owns what."""
