"""Credentials whose uses are counted: each use stands directly before what it was for, and for one request.

The authority records a use and the intents of the one request that it was for without anything between them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.authority.fold.records import Credential
from appliance.authority.fold.state import State
from appliance.evidence.findings import Code, Found
from appliance.identity.api import CLAIM, PROVIDER
from appliance.ssh.certificate import decode_tbs
from audit.entry import Entry

# What the intents of one request have in common.
_SHARED: Final = ("identity", "on_behalf_of", "request", "idempotency", "policy")


class WrongUse(Found):
    """A use that could not be or was for nothing, or a certificate without one."""

    code = Code.WRONG_USE


@dataclass(slots=True)
class _Use:
    """A use, the request that it turned out to be for, and the certificates of it so far."""

    credential: str
    seq: int
    request: tuple[object, ...] | None = None
    certificates: set[tuple[str, ...]] = field(default_factory=set)


@dataclass(slots=True)
class UseChecks:
    """The use that the next entry may rest on."""

    _use: _Use | None = None

    def check(self, state: State, entry: Entry) -> None:
        """Check an entry on the state before it.

        Raises:
            WrongUse, and whatever malformed data raise.
        """
        use, self._use = self._use, None
        counted = _find_counted(state, entry.data) if entry.kind == "certificate.intent" else None
        if counted is not None:
            self._use = _continue(use, counted, entry)
            return
        if entry.kind == "credential.used":
            self._use = _Use(str(entry.data["id"]), entry.seq)
            _check_used(state, entry)
        _check_spent(use)

    def conclude(self) -> None:
        """Check that the last use was for something.

        Raises:
            WrongUse: it was not.
        """
        _check_spent(self._use)


def _find_counted(state: State, data: Mapping[str, Any]) -> Credential | None:
    """Return the credential that an intent's requester showed, if its uses are counted."""
    identity = data["identity"]
    shown = [claim["value"] for claim in identity["claims"] if claim["name"] == CLAIM]
    known = state.credentials.get(shown[0]) if identity["provider"] == PROVIDER and shown else None
    return None if known is None or known.uses_left is None else known


def _continue(use: _Use | None, counted: Credential, entry: Entry) -> _Use:
    """Return the use with one more certificate that rests on it."""
    data: Mapping[str, Any] = entry.data
    if use is None or use.credential != counted.id:
        raise WrongUse(f"rests on the credential {counted.id}, and no use of it is on record before")
    request = (entry.time_ms, *(data.get(name) for name in _SHARED))
    if use.request is not None and use.request != request:
        raise WrongUse(f"rests on the use in entry {use.seq}, which was for another request")
    content = decode_tbs(base64.b64decode(data["tbs"], validate=True))
    certificate = (str(data["ca"]), *content.principals)
    if certificate in use.certificates:
        raise WrongUse(f"the request that the use in entry {use.seq} was for gave this before")
    return _Use(use.credential, use.seq, request, use.certificates | {certificate})


def _check_used(state: State, entry: Entry) -> None:
    known = state.credentials.get(str(entry.data["id"]))
    if known is None or known.uses_left is None:
        raise WrongUse(f"there is no credential {entry.data['id']} whose uses are counted")
    if known.uses_left == 0:
        raise WrongUse(f"the credential {known.id} had no use left")


def _check_spent(use: _Use | None) -> None:
    if use is not None and use.request is None:
        raise WrongUse(f"the use of the credential {use.credential} in entry {use.seq} was for nothing")
