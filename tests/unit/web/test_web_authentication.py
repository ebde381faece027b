"""From a credential to an identity: one kind at a time, one subject, and no hint for those who guess."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from appliance.errors import Refusal
from appliance.identity.api import ApiCredential, format_credential, hash_secret
from appliance.identity.identity import Identity
from appliance.index.queries import Index
from appliance.index.records import CredentialRecord
from appliance.web.authentication import Authenticator
from appliance.web.request import StrictRequest
from support.authority import NOW_MS
from support.web import NOWHERE, make_providers

SECRET = "s" * 43
ID = "0123456789abcdef"
GOOD = format_credential(ApiCredential(ID, SECRET))
SPIFFE = "spiffe://example.org/ci"


class OneCredential(Index):
    """An index that knows one credential."""

    def __init__(self, record: CredentialRecord) -> None:
        super().__init__(NOWHERE)
        self._record = record

    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        yield SimpleNamespace(credential=lambda id_: self._record if id_ == self._record.id else None)


def authenticator(**changes: Any) -> Authenticator:
    fields: dict[str, Any] = {
        "id": ID,
        "subject": "alice",
        "kind": "user",
        "secret_sha256": hash_secret(SECRET),
        "created_ms": NOW_MS,
        "expires_s": NOW_MS // 1000 + 1,
        "uses": None,
        "used": 0,
        "revoked_ms": None,
        "revoked_reason": None,
    }
    return Authenticator(
        OneCredential(CredentialRecord(**(fields | changes))), make_providers(), now_ms=lambda: NOW_MS
    )


def identify(
    header: str | None = None, certificate: dict[str, Any] | None = None, **changes: Any
) -> Identity | None:
    environ = EnvironBuilder(headers=[] if header is None else [("Authorization", header)]).get_environ()
    environ["REMOTE_ADDR"] = "192.0.2.7"
    environ["gunicorn.socket"] = SimpleNamespace(getpeercert=lambda: certificate)
    return authenticator(**changes).identify(StrictRequest(environ))


def peer(*names: str, uris: tuple[str, ...] = (), dns: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a certificate as `ssl.SSLSocket.getpeercert` has it."""
    subject = ((("organizationName", "acme"),), *((("commonName", name),) for name in names))
    alternatives = *(("URI", uri) for uri in uris), *(("DNS", name) for name in dns)
    valid = {"notBefore": "Nov 24 00:00:00 2025 GMT", "notAfter": "Nov 25 00:00:00 2025 GMT"}
    certificate: dict[str, Any] = {"subject": subject} | valid
    return certificate | {"subjectAltName": alternatives} if alternatives else certificate


def refused(header: str | None = None, certificate: dict[str, Any] | None = None, **changes: Any) -> str:
    with pytest.raises(Refusal) as refusal:
        identify(header, certificate, **changes)
    assert refusal.value.slug == "unauthenticated"
    return refusal.value.detail


def test_request_without_a_credential_is_nobodys() -> None:
    assert identify() is None
    assert identify(certificate={}) is None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_valid_credential_is_the_identity_on_record(scheme: str) -> None:
    assert identify(f"{scheme} {GOOD}", kind="service") == Identity(
        provider="api",
        subject="alice",
        kind="service",
        claims=(("credential", ID),),
        authenticated_ms=NOW_MS,
        source_address="192.0.2.7",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_s": NOW_MS // 1000},
        {"revoked_ms": NOW_MS - 1},
        {"uses": 2, "used": 2},
        {"secret_sha256": hash_secret("t" * 43)},
        {"id": "f" * 16},
    ],
    ids=["expired", "revoked", "used up", "another secret", "unknown"],
)
def test_credential_that_is_not_valid_is_refused_in_the_same_words(changes: dict[str, Any]) -> None:
    assert refused(f"Bearer {GOOD}", **changes) == "the credential is not valid"


@pytest.mark.parametrize(
    "header", ["", "Bearer", f"Basic {GOOD}", GOOD, f"Bearer {GOOD}, Bearer {GOOD}", f"Bearer {GOOD}\u0661"]
)
def test_header_that_is_no_bearer_credential_is_refused(header: str) -> None:
    assert refused(header) == "the credential is not valid"


@pytest.mark.parametrize(
    ("certificate", "subject", "kind"),
    [
        (peer("alice"), "alice", "user"),
        (peer("Alice M\u00fcller"), "Alice M\u00fcller", "user"),
        (peer("alice", dns=("laptop.example.org",)), "alice", "user"),
        (peer("alice", uris=("https://example.org/alice",)), "alice", "user"),
        (peer(uris=(SPIFFE,)), SPIFFE, "service"),
        (peer("alice", "bob", uris=(SPIFFE,)), SPIFFE, "service"),
    ],
)
def test_client_certificate_names_a_user_or_a_service(
    certificate: dict[str, Any], subject: str, kind: str
) -> None:
    identity = identify(certificate=certificate)
    assert identity is not None
    assert (identity.provider, identity.subject, identity.kind) == ("mtls", subject, kind)
    assert (identity.authenticated_ms, identity.source_address) == (NOW_MS, "192.0.2.7")


@pytest.mark.parametrize(
    "certificate",
    [
        peer(),
        peer(""),
        peer("alice", "alice"),
        peer(SPIFFE),
        peer(" alice"),
        peer("al\x00ice"),
        peer("a" * 256),
        peer(dns=("laptop.example.org",)),
        peer("alice", uris=(SPIFFE, "spiffe://example.org/other")),
        peer("alice", uris=(SPIFFE, "https://example.org/ci")),
    ],
)
def test_client_certificate_that_could_name_two_or_none_is_refused(certificate: dict[str, Any]) -> None:
    assert refused(certificate=certificate) == "the credential is not valid"


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({"notAfter": "Nov 24 16:00:00 2025 GMT"}, True),
        ({"notAfter": "Nov 24 15:59:59 2025 GMT"}, False),
        ({"notBefore": "Nov 24 16:00:00 2025 GMT"}, True),
        ({"notBefore": "Nov 24 16:00:01 2025 GMT"}, False),
    ],
)
def test_client_certificate_is_valid_from_its_beginning_to_its_end(
    changes: dict[str, str], valid: bool
) -> None:
    certificate = peer("alice") | changes
    if valid:
        assert identify(certificate=certificate) is not None
    else:
        assert refused(certificate=certificate) == "the credential is not valid"


def test_both_kinds_at_once_are_refused_even_if_each_is_valid() -> None:
    assert refused(f"Bearer {GOOD}", peer("alice")) == "the credential is not valid"
