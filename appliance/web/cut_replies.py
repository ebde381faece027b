"""What the routes that cut off answer with, as :mod:`~appliance.web.replies` has the others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.policy.fields import Maybe
from appliance.policy.locks import LockKind
from appliance.web.replies import Cursor, Hash, Moment, RecordedEntry, Seq, Serial, Size


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CutCertificate(_Reply):
    """A certificate that is live, or was when it was cut off: sessions that it opened may go on."""

    intent: Annotated[Seq, Field(description="the entry of the intent")]
    subject: Annotated[str, Field(description="who asked, or host:name")]
    valid_before: Moment
    serial: Maybe[Serial]
    principals: Maybe[list[str]]
    host_groups: Maybe[list[str]]


class _Cut(_Reply):
    count: Annotated[int, Field(ge=0, description="how many certificates were revoked")]
    live: Annotated[list[CutCertificate], Field(description="the first of those that were live")]
    live_count: Annotated[int, Field(ge=0, description="how many were live")]
    note: str
    entry: Maybe[Annotated[Seq, Field(description="the first entry about it")]]
    already: Maybe[Annotated[Literal[True], Field(description="there was nothing left to do")]]


class Revoked(_Cut):
    """What is revoked now: by this request, or an earlier one."""

    revoked: Literal[True]
    serial: Maybe[Serial]


class Locked(_Cut):
    """A lock in force, and what it cut off."""

    warning: Maybe[Annotated[str, Field(description="nothing is known of what is locked")]]
    lock: Annotated[Seq, Field(description="the entry that placed it")]
    hosts: Maybe[
        Annotated[
            list[str],
            Field(description="the first hosts that keep a certificate which the locked one asked for"),
        ]
    ]
    host_count: Maybe[Annotated[int, Field(ge=1, description="how many such hosts there are")]]


class _GoingOn(_Reply):
    live: Maybe[Annotated[list[CutCertificate], Field(description="the first of those that go on")]]
    live_count: Maybe[Annotated[int, Field(ge=0, description="how many go on; no more than 500 are counted")]]
    note: str


class CredentialRevoked(_GoingOn):
    """An API credential that identifies nobody any more, and the certificates of whom it identified."""

    id: str
    revoked: Literal[True]
    entry: Maybe[Seq]
    already: Maybe[Annotated[Literal[True], Field(description="it had been revoked before")]]


class HostRemoved(_GoingOn):
    """A host that is registered no more, and the certificates that it has still."""

    entries: list[RecordedEntry]


class LockShown(_Reply):
    """A lock."""

    lock: Annotated[Seq, Field(description="the entry that placed it")]
    kind: LockKind
    name: str
    accounts: Maybe[Annotated[list[str], Field(description="that a person had when it was placed")]]
    reason: str
    by: str
    placed: Moment
    lifted: Maybe[Moment]
    lifted_entry: Maybe[Seq]


class LockPage(_Reply):
    """Some locks, newest first."""

    locks: list[LockShown]
    cursor: Cursor
    ledger_size: Size


class KrlStatement(_Reply):
    """Which KRL of a CA is the newest, and the signature over that (docs/formats/krl.md)."""

    ca: str
    sha256: Annotated[Hash, Field(description="of the KRL, hex")]
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,19}$", description="of the KRL, in decimal")]
    statement: Annotated[str, Field(description="what is signed")]
    signature: Annotated[str, Field(description="armored SSHSIG, namespace krl@chancery, by the bundle key")]
    generated: Moment
    fresh_until: Moment
    ledger_size: Size
