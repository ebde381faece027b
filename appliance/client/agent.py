"""The ssh-agent protocol (draft-ietf-sshm-ssh-agent), as far as it takes to add keys and to remove them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.errors import ConfigError
from appliance.ssh.errors import SshFormatError
from appliance.ssh.wire import Reader, encode_byte, encode_string, encode_uint32

_REQUEST_IDENTITIES: Final = 11
_IDENTITIES_ANSWER: Final = 12
_REMOVE_IDENTITY: Final = 18
_ADD_ID_CONSTRAINED: Final = 25
_SUCCESS: Final = 6
_CONSTRAIN_LIFETIME: Final = 1
_CERTIFICATE: Final = b"ssh-ed25519-cert-v01@openssh.com"
_TIMEOUT_S: Final = 30.0
_MAX_ANSWER: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Held:
    """A key, or a certificate, that an agent holds."""

    blob: bytes
    comment: str


class Agent:
    """A conversation with an agent."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def add_certificate(
        self, key: Ed25519PrivateKey, certificate: bytes, comment: str, lifetime_s: int
    ) -> None:
        """Add a private key with its certificate, for so many seconds.

        Raises:
            ConfigError: the agent does not take it.
        """
        public, private = key.public_key().public_bytes_raw(), key.private_bytes_raw()
        message = encode_byte(_ADD_ID_CONSTRAINED) + encode_string(_CERTIFICATE) + encode_string(certificate)
        message += encode_string(public) + encode_string(private + public) + encode_string(comment.encode())
        message += encode_byte(_CONSTRAIN_LIFETIME) + encode_uint32(lifetime_s)
        if self._ask(message) != encode_byte(_SUCCESS):
            raise ConfigError("the ssh-agent does not take the certificate: is it locked (`ssh-add -X`)?")

    def held(self) -> list[Held]:
        """Return what the agent holds."""
        reader = Reader(self._ask(encode_byte(_REQUEST_IDENTITIES)))
        try:
            if reader.byte("type") != _IDENTITIES_ANSWER:
                raise ConfigError("the ssh-agent does not say what it holds")
            return [_read_held(reader) for _ in range(reader.uint32("count"))]
        except SshFormatError as error:
            raise ConfigError(f"the ssh-agent does not say what it holds: {error}") from error

    def remove(self, blob: bytes) -> None:
        """Remove a key; one that has gone by itself meanwhile is no error."""
        self._ask(encode_byte(_REMOVE_IDENTITY) + encode_string(blob))

    def _ask(self, message: bytes) -> bytes:
        try:
            self._connection.sendall(encode_string(message))
            (size,) = struct.unpack(">I", self._read(4))
            if size > _MAX_ANSWER:
                raise ConfigError(f"the ssh-agent answers with {size} bytes")
            return self._read(size)
        except OSError as error:
            raise ConfigError(f"the ssh-agent does not answer: {error}") from error

    def _read(self, size: int) -> bytes:
        parts = b""
        while len(parts) < size:
            part = self._connection.recv(size - len(parts))
            if not part:
                raise ConfigError("the ssh-agent hung up")
            parts += part
        return parts


def _read_held(reader: Reader) -> Held:
    blob, comment = reader.string("key", _MAX_ANSWER), reader.string("comment", _MAX_ANSWER)
    return Held(blob, comment.decode("utf-8", "replace"))


@contextmanager
def connected(path: str | None) -> Iterator[Agent]:
    """Talk to the agent at ``path``.

    Raises:
        ConfigError: there is none, or it does not answer.
    """
    if not path:
        raise ConfigError('no ssh-agent runs: start one with `eval "$(ssh-agent)"`')
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT_S)
        try:
            connection.connect(path)
        except OSError as error:
            raise ConfigError(
                f'no ssh-agent answers at {path} ({error}): start one with `eval "$(ssh-agent)"`'
            ) from error
        yield Agent(connection)
