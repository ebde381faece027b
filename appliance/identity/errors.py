"""What can go wrong between a credential and an identity."""

from __future__ import annotations

from appliance.errors import ChanceryError


class InvalidCredential(ChanceryError):
    """A credential identifies nobody. Why is for the log: whoever showed it is told nothing more."""


class ProviderUnavailable(ChanceryError):
    """An identity provider cannot be asked, or gives no usable answer."""
