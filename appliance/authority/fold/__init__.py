"""The fold of the ledger: the state that decisions rest on, and the records that it is made of. Pure."""
