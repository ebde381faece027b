"""Who is asking: a credential in, an :class:`~appliance.identity.identity.Identity` out."""
