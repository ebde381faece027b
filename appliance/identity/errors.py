"""What can go wrong between a credential and an identity."""

from __future__ import annotations

from appliance.errors import ChanceryError


class InvalidCredential(ChanceryError):
    """A credential identifies nobody. Why is for the log: whoever showed it is told nothing more."""


class ProviderUnavailable(ChanceryError):
    """An identity provider cannot be asked, or gives no usable answer."""


class ProviderSilent(ProviderUnavailable):
    """A provider does not answer in time, if at all: for a moment nobody else need wait for it."""


class ProviderBusy(ChanceryError):
    """Too many wait for a provider already. That is our own trouble, and says nothing of the provider.

    Not a :class:`ProviderUnavailable`: when that is met sessions go on as they began, and anyone can ask for
    more than there is room for.
    """
