"""API credentials that identities rest on, by what is on record of them."""

from __future__ import annotations

from appliance.authority.fold.records import Credential
from appliance.authority.fold.state import State
from appliance.evidence.findings import Code, Found
from appliance.identity.api import CLAIM, PROVIDER
from appliance.identity.identity import Identity


class WrongIntent(Found):
    """An intent that contradicts what was on record when it was written."""

    code = Code.WRONG_INTENT


def is_his(state: State, identity: Identity) -> bool:
    """Say whether an identity is none of an API credential's, or shows one that was made for it."""
    return identity.provider != PROVIDER or _find_shown(state, identity) is not None


def check_credential(state: State, identity: Identity, now_s: int) -> None:
    """Check that certificates can rest on an API credential, if that is what an identity shows.

    Raises:
        WrongIntent: they cannot.
    """
    if identity.provider != PROVIDER:
        return
    known = _find_shown(state, identity)
    if known is None:
        raise WrongIntent(f"{identity} shows a credential that is not his")
    if known.revoked or (known.expires_s is not None and known.expires_s <= now_s):
        raise WrongIntent(f"the credential {known.id} was revoked or had expired")


def _find_shown(state: State, identity: Identity) -> Credential | None:
    claim = identity.claim(CLAIM)
    known = None if claim is None else state.credentials.get(claim)
    if known is None or (known.subject, known.kind) != (identity.subject, identity.kind):
        return None
    return known
