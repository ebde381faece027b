"""Step 1 of the issuance cycle: a credential in, an identity out.

One credential at a time: an API credential, an identity provider's token or a session in ``Authorization:
Bearer``, or a TLS client certificate. Whoever shows one that is not valid is told that and nothing more;
whoever shows none is nobody.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from appliance.errors import Refusal
from appliance.identity.api import identity_of, parse_credential
from appliance.identity.errors import InvalidCredential, ProviderBusy, ProviderUnavailable
from appliance.identity.identity import Identity, is_subject
from appliance.identity.providers import Providers
from appliance.index.queries import Index
from appliance.index.records import CredentialRecord
from appliance.web.logins import unavailable
from appliance.web.request import StrictRequest

log = logging.getLogger(__name__)

_SCHEME: Final = "bearer"
# How long the index's word on a credential is good for. The index itself may be a second behind the ledger,
# and whether certificates are issued on a credential is for the authority to say, which is never behind.
_BELIEVED_MS: Final = 1_000
_MAX_BELIEVED: Final = 4_096
# What getpeercert() returns, as far as it is used here.
PeerCertificate = Mapping[str, Any]


class Authenticator:
    """Turns the credential of a request into an identity."""

    def __init__(self, index: Index, providers: Providers, *, now_ms: Callable[[], int]) -> None:
        self._index = index
        self._providers = providers
        self._now_ms = now_ms
        self._believed: dict[str, tuple[int, CredentialRecord]] = {}

    def identify(self, request: StrictRequest, *, repeats: bool = False) -> Identity | None:
        """Return who is asking; None when no credential is shown.

        ``repeats``: the request may be one that was carried out before. Whether a credential has a use left
        for it is then the authority's to say, who knows.

        Raises:
            Refusal: ``unauthenticated``; ``identity-unavailable`` or ``overloaded`` if a provider would have
                to be asked.
        """
        header = request.field("AUTHORIZATION")
        certificate = _peer_certificate(request)
        if header is not None and certificate:
            log.info("refused: a client certificate and a bearer credential at once")
            raise _refused()
        if header is not None:
            return self._by_credential(header, request.remote_addr, repeats=repeats)
        return self._by_certificate(certificate, request.remote_addr) if certificate else None

    def _by_credential(self, header: str, address: str | None, *, repeats: bool) -> Identity:
        scheme, _, text = header.partition(" ")
        if scheme.lower() != _SCHEME:
            raise _refused()
        shown = parse_credential(text.strip())
        if shown is None:
            return self._by_provider(text.strip(), address)
        now_ms = self._now_ms()
        known = self._look_up(shown.id, now_ms)
        if (
            known is None
            or not shown.matches(known.secret_sha256)
            or not known.is_valid(now_ms // 1000, used_up=repeats)
        ):
            log.info("refused: credential %s is unknown, wrong, expired, used up or revoked", shown.id)
            raise _refused()
        return identity_of(known.id, known.subject, known.kind, now_ms=now_ms, source_address=address)

    def _by_provider(self, text: str, address: str | None) -> Identity:
        """Have the identity providers say whose token, or whose session, it is."""
        try:
            return replace(self._providers.identify(text), source_address=address)
        except InvalidCredential as error:
            log.info("refused: %s", error)
            raise _refused() from error
        except (ProviderUnavailable, ProviderBusy) as error:
            raise unavailable(error) from error

    def _look_up(self, credential_id: str, now_ms: int) -> CredentialRecord | None:
        """Return what is on record of a credential; of one that is not, the index is asked each time."""
        until_ms, known = self._believed.get(credential_id, (0, None))
        if known is not None and now_ms < until_ms <= now_ms + _BELIEVED_MS:
            return known
        with self._index.snapshot() as snapshot:
            known = snapshot.credential(credential_id)
        if known is not None:
            if len(self._believed) >= _MAX_BELIEVED:
                self._believed.clear()
            self._believed[credential_id] = (now_ms + _BELIEVED_MS, known)
        return known

    def _by_certificate(self, certificate: PeerCertificate, address: str | None) -> Identity:
        """Name a client certificate whose chain TLS has verified: once, however long the connection lasts."""
        if not _is_current(certificate, self._now_ms() // 1000):
            log.info("refused: a client certificate that has ended, or not begun")
            raise _refused()
        uris = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
        spiffe = [uri for uri in uris if uri.startswith("spiffe://")]
        names = [
            value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"
        ]
        subjects = uris if spiffe else names  # an SVID has one URI and no other (SPIFFE X509-SVID §2)
        if len(subjects) != 1 or not is_subject(subjects[0]) or (not spiffe and "://" in subjects[0]):
            log.info("refused: a client certificate with no single spiffe:// URI or common name")
            raise _refused()
        return Identity(
            provider="mtls",
            subject=subjects[0],
            kind="service" if spiffe else "user",
            authenticated_ms=self._now_ms(),
            source_address=address,
        )


def _peer_certificate(request: StrictRequest) -> PeerCertificate | None:
    """Return the client's certificate, if TLS asked for one and it was shown; a proxy's is nobody's."""
    if request.proxied:
        return None
    connection = request.environ.get("gunicorn.socket")
    if connection is None or not hasattr(connection, "getpeercert"):
        return None
    found: PeerCertificate | None = connection.getpeercert()
    return found or None


def _is_current(certificate: PeerCertificate, now_s: int) -> bool:
    """Say whether a certificate is valid now (RFC 5280 §4.1.2.5): TLS looks when a handshake is whole.

    It was then; but the connection may be old, or its session one that was taken up again, as can be done
    without end.
    """
    begins_s, ends_s = (ssl.cert_time_to_seconds(certificate[name]) for name in ("notBefore", "notAfter"))
    return begins_s <= now_s <= ends_s


def _refused() -> Refusal:
    return Refusal("unauthenticated", "the credential is not valid")
