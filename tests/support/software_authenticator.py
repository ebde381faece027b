"""A FIDO authenticator in software behind an ssh-agent socket: logins with sk- keys, without hardware.

The signatures are built from PROTOCOL.u2f on its own, not from the code that verifies them.
"""

from __future__ import annotations

import hashlib
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from appliance.ssh.keys import PublicKey, from_cryptography
from appliance.ssh.wire import Reader, encode_mpint, encode_string
from support.ssh_examples import sk_public_key

PRESENT: Final = 0x01
PRESENT_AND_VERIFIED: Final = 0x05

# draft-ietf-sshm-ssh-agent §6.1
_FAILURE: Final = 5
_REQUEST_IDENTITIES: Final = 11
_IDENTITIES_ANSWER: Final = 12
_SIGN_REQUEST: Final = 13
_SIGN_RESPONSE: Final = 14
_MAX_MESSAGE: Final = 262_144


@dataclass(kw_only=True)
class SoftwareAuthenticator:
    """An sk- key that signs whenever it is asked to, and says in ``flags`` whatever it is told to say."""

    private_key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
    application: bytes = b"ssh:"
    flags: int = PRESENT
    counter: int = 0

    @property
    def public_key(self) -> PublicKey:
        """The sk- public key."""
        return sk_public_key(from_cryptography(self.private_key.public_key()), self.application)

    def sign(self, data: bytes) -> bytes:
        """Sign ``data`` as an authenticator would and return the SSH signature blob."""
        self.counter += 1
        flags_and_counter = struct.pack(">BI", self.flags, self.counter)
        signed = hashlib.sha256(self.application).digest() + flags_and_counter + hashlib.sha256(data).digest()
        if isinstance(self.private_key, ed25519.Ed25519PrivateKey):
            raw = self.private_key.sign(signed)
        else:
            r, s = decode_dss_signature(self.private_key.sign(signed, ec.ECDSA(hashes.SHA256())))
            raw = encode_mpint(r) + encode_mpint(s)
        return encode_string(self.public_key.type.encode()) + encode_string(raw) + flags_and_counter


@dataclass(frozen=True, kw_only=True)
class AgentIdentity:
    """What the agent offers: the blob of a key or of a certificate for it, and who signs for it."""

    blob: bytes
    sign: Callable[[bytes], bytes]
    comment: str = field(default="software authenticator")


@contextmanager
def ssh_agent(socket: Path, identities: Sequence[AgentIdentity]) -> Iterator[None]:
    """Serve ``identities`` on a Unix socket, as ``SSH_AUTH_SOCK`` or ``IdentityAgent`` name it, meanwhile."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while header := self.rfile.read(4):
                length = min(int.from_bytes(header, "big"), _MAX_MESSAGE)
                self.wfile.write(encode_string(_answer(self.rfile.read(length), identities)))

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(socket), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _answer(message: bytes, identities: Sequence[AgentIdentity]) -> bytes:
    reader = Reader(message)
    kind = reader.byte("message type")
    if kind == _REQUEST_IDENTITIES:
        entries = (encode_string(each.blob) + encode_string(each.comment.encode()) for each in identities)
        return struct.pack(">BI", _IDENTITIES_ANSWER, len(identities)) + b"".join(entries)
    if kind == _SIGN_REQUEST:
        blob = reader.string("key blob", _MAX_MESSAGE)
        data = reader.string("data", _MAX_MESSAGE)
        for identity in identities:
            if identity.blob == blob:
                return bytes([_SIGN_RESPONSE]) + encode_string(identity.sign(data))
    return bytes([_FAILURE])  # also to session-bind@openssh.com, which ssh takes in its stride
