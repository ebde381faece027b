"""What an attacker sends: bodies that are no request for a certificate, and bytes that are no HTTP request.

None of it is answered with 2xx or 5xx; ``test_web_wire`` and ``test_service_hostile`` check each alone, and
the flood sends all of them at once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Final

from appliance.ssh.keys import format_public_key_line
from appliance.ssh.wire import encode_mpint, encode_string
from support.ssh_examples import public_key

KEY: Final = format_public_key_line(public_key("ed25519", 1))
CERTIFICATE: Final = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t"

BODIES: Final[Mapping[str, bytes]] = {
    "empty": b"",
    "not JSON": b"{",
    "two values": b"{} {}",
    "an array": b"[]",
    "a string": b'"{}"',
    "null": b"null",
    "not UTF-8": b'{"public_key": "\xff"}',
    "UTF-16": '{"public_key": "x"}'.encode("utf-16"),
    "a lone surrogate": b'{"public_key": "\\ud800"}',
    "NaN": b'{"ttl": NaN}',
    "Infinity": b'{"ttl": -Infinity}',
    "a member twice": b'{"public_key": "a", "public_key": "b"}',
    "a number of 5000 digits": b'{"ttl": ' + b"1" * 5000 + b"}",
    "an integer beyond 64 bits": b'{"ttl": 18446744073709551616}',
    "a number beyond all": b'{"ttl": 1e999}',
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "deep but whole": b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
    "a control character": b'{"public_key": "a\nb"}',
    "members without end": json.dumps({f"m{number}": 0 for number in range(50_000)}).encode(),
    "a string that never ends": b'{"public_key": "' + b'\\"' * 100_000,
}

_HEAD: Final = b"POST /v1/certificates/user HTTP/1.1\r\nHost: x\r\n"
REQUESTS: Final[Mapping[str, bytes]] = {
    "fields": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "a field": b"GET / HTTP/1.1\r\nX: " + b"y" * 10_000 + b"\r\n\r\n",
    "a header without end": b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000,
    "a line": b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
    "a version": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "half a line": b"GET\r\n\r\n",
    "a method in small letters": b"get /v1/cas HTTP/1.1\r\nHost: x\r\n\r\n",
    "no HTTP": b"\x16\x03\x01 no HTTP\r\n\r\n",
    "NUL": b"GET / HTTP/1.1\r\nX\x00: y\r\n\r\n",
    "NULs": b"\x00" * 20_000,
    "a control character": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x1b[2Jb\r\n\r\n",
    "folding": b"GET / HTTP/1.1\r\nX: y\r\n folded\r\n\r\n",
    "line feeds alone": b"GET /v1/cas HTTP/1.1\nHost: x\n\n",
    "a space before": b" GET /v1/cas HTTP/1.1\r\nHost: x\r\n\r\n",
    "two hosts": b"GET /v1/cas HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "an address that is none": b"GET http://[::1/v1/cas HTTP/1.1\r\nHost: x\r\n\r\n",
    "an expectation": b"GET /v1/cas HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n",
    "two lengths": _HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a list of lengths": _HEAD + b"Content-Length: 5, 5\r\n\r\nabcde",
    "a signed length": _HEAD + b"Content-Length: +5\r\n\r\n",
    "a length below zero": _HEAD + b"Content-Length: -5\r\n\r\n",
    "a length in hex": _HEAD + b"Content-Length: 0x5\r\n\r\nabcde",
    "a length of 5000 digits": _HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",
    "length and chunks": _HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding": _HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    "two codings": _HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space in front of the colon": _HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "an odd space in front of the coding": _HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": _HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


def _line(key_type: str, *fields: bytes, more: bytes = b"") -> str:
    """Return a key line of those fields, each a string, whatever they are."""
    blob = b"".join(map(encode_string, (key_type.encode(), *fields))) + more
    return f"{key_type} {base64.b64encode(blob).decode()}"


def _rsa(e: int, n: int) -> str:
    return _line("ssh-rsa", encode_mpint(e)[4:], encode_mpint(n)[4:])


_N: Final = (1 << 3071) + 1
_POINT: Final = public_key("nistp256", 1).blob[-65:]
_ED25519: Final = public_key("ed25519", 1).blob[-32:]
_SK: Final = "sk-ssh-ed25519@openssh.com"

KEYS: Final[Mapping[str, str]] = {
    "RSA of 1024 bits": _rsa(65_537, (1 << 1023) + 1),
    "RSA of 16384 bits": _rsa(65_537, (1 << 16_383) + 1),
    "RSA of 30000 bits": _rsa(65_537, (1 << 30_000) + 1),
    "RSA with an even modulus": _rsa(65_537, _N - 1),
    "RSA with a modulus below zero": _rsa(65_537, -_N),
    "RSA with the exponent 0": _rsa(0, _N),
    "RSA with the exponent 1": _rsa(1, _N),
    "RSA with an even exponent": _rsa(65_536, _N),
    "RSA with an exponent below zero": _rsa(-3, _N),
    "RSA with an exponent like its modulus": _rsa(_N, _N),
    "RSA with needless zeros": _line("ssh-rsa", b"\0\0\0\3", encode_mpint(_N)[4:]),
    "a point off the curve": _line("ecdsa-sha2-nistp256", b"nistp256", b"\4" + bytes(64)),
    "a point at infinity": _line("ecdsa-sha2-nistp256", b"nistp256", b"\0"),
    "a compressed point": _line("ecdsa-sha2-nistp256", b"nistp256", b"\2" + _POINT[1:33]),
    "a point of another curve": _line("ecdsa-sha2-nistp384", b"nistp384", _POINT),
    "a curve of another type": _line("ecdsa-sha2-nistp256", b"nistp521", _POINT),
    "an unknown curve": _line("ecdsa-sha2-nistp256", b"secp256k1", _POINT),
    "Ed25519 of 31 bytes": _line("ssh-ed25519", _ED25519[:31]),
    "Ed25519 of 33 bytes": _line("ssh-ed25519", _ED25519 + b"\0"),
    "Ed25519 of small order": _line("ssh-ed25519", b"\1" + bytes(31)),
    "FIDO without application": _line(_SK, _ED25519, b""),
    "FIDO with NUL in its application": _line(_SK, _ED25519, b"ssh:\0evil"),
    "FIDO with 3000 bytes of application": _line(_SK, _ED25519, b"a" * 3_000),
    "bytes after the end": _line("ssh-ed25519", _ED25519, more=b"\0"),
    "a length beyond the end": _line("ssh-ed25519", more=b"\xff\xff\xff\xff"),
    "nothing but a type": _line("ssh-ed25519"),
    "another type inside": "ssh-rsa " + KEY.split(" ")[1],
    "a certificate": CERTIFICATE,
    "a certificate by another name": CERTIFICATE.replace("-cert-v01@openssh.com", "", 1),
    "DSA": "ssh-dss AAAAB3NzaC1kc3M=",
    "an unknown type": "ssh-unknown AAAAC3NzaC1lZDI1NTE5",
    "two lines": f"{KEY}\n{KEY}",
    "an option in front": f'command="sh" {KEY}',
    "a NUL": KEY.replace(" ", "\0", 1),
    "no base64": "ssh-ed25519 %%%",
    "a private key": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "the longest line": "ssh-ed25519 " + "A" * 12_000,
}
