"""What somebody should be told of at once: found in the ledger, kept in the index, delivered until taken.

``rules`` says which entries are alarming; pure. ``couriers`` brings what the index has of that to a log, a
webhook and a command, each at its own pace and with its own memory of how far it is.
"""
