"""A crowd of clients on one service, many of them hostile, in a process of its own.

It reads from standard input where the service is and whose credentials there are, presses for so many
seconds, and writes to standard output what the answers were and which certificates it was given.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, Final

from support.hostile import BODIES, KEYS, REQUESTS
from support.load import BODY

# An address that is exempt from the limits by address, as a load balancer's would be; and attackers' own.
BALANCER: Final = "127.0.0.1"
ATTACKERS: Final = tuple(f"127.0.0.{number}" for number in range(2, 8))
HOSTILE_SHARE: Final = 0.4
_USER: Final = "/v1/certificates/user"
# Answers that are no status: the attack asked for none, or the service closed the connection.
LEFT, CLOSED = "left", "closed"


class Crowd:
    """All the clients."""

    def __init__(self, port: int, authorities: str, credentials: Mapping[str, str], seed: int) -> None:
        self._random = random.Random(seed)
        self._port = port
        self._tls = ssl.create_default_context(cafile=authorities)
        self._alice, self._mallory = credentials["alice"], credentials["mallory"]
        self.answers: Counter[str] = Counter()
        self.lines: list[str] = []
        self.wrong: list[str] = []
        self._attacks: tuple[Callable[[str], Awaitable[str]], ...] = (
            self._send_hostile_request,
            self._send_hostile_request,
            self._send_hostile_body,
            self._send_hostile_body,
            self._guess,
            self._ask_for_what_is_denied,
            self._leave_handshake_open,
            self._trickle_header,
            self._trickle_body,
            self._take_no_replies,
            self._reset,
        )

    async def press(self, connections: int, seconds: float) -> None:
        """Press for so many seconds; whoever of the crowd fails, fails this."""
        attackers = int(HOSTILE_SHARE * connections)
        kinds: list[Coroutine[Any, Any, None]] = [self._press() for _ in range(connections - attackers)]
        kinds += [self._attack(ATTACKERS[number % len(ATTACKERS)]) for number in range(attackers)]
        tasks = [asyncio.create_task(kind) for kind in kinds]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _press(self) -> None:
        """Ask without pause, over one connection for as long as it lasts."""
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await self._connect(BALANCER)
                try:
                    while True:
                        writer.write(self._request(self._alice, BODY))
                        self._note("press", *await _read_reply(reader))
                finally:
                    writer.transport.abort()

    async def _attack(self, address: str) -> None:
        """Attack in one way after the other, each over connections of its own."""
        while True:
            attack = self._random.choice(self._attacks)
            name = attack.__name__.strip("_").replace("_", " ")
            try:
                async with asyncio.timeout(30):
                    answer = await attack(address)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                answer = CLOSED
            self.answers[f"{answer} {name}"] += 1
            await asyncio.sleep(0)

    async def _send_hostile_request(self, address: str) -> str:
        return await self._exchange(address, self._random.choice(list(REQUESTS.values())))

    async def _send_hostile_body(self, address: str) -> str:
        keys = [json.dumps({"public_key": key}).encode() for key in KEYS.values()]
        body = self._random.choice([*BODIES.values(), *keys])
        return await self._exchange(address, self._request(self._alice, body))

    async def _guess(self, address: str) -> str:
        credential = f"chancery1.{self._random.getrandbits(64):016x}.{'A' * 43}"
        return await self._exchange(address, self._request(credential, BODY))

    async def _ask_for_what_is_denied(self, address: str) -> str:
        login = f"nobody{self._random.randrange(1_000_000)}"
        return await self._exchange(address, self._request(self._mallory, BODY | {"logins": [login]}))

    async def _leave_handshake_open(self, address: str) -> str:
        _, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))
        try:
            writer.write(b"\x16\x03\x01\x02\x00\x01\x00"[: self._random.randrange(8)])
            await asyncio.sleep(self._random.uniform(0, 15))
        finally:
            writer.transport.abort()
        return LEFT

    async def _trickle_header(self, address: str) -> str:
        return await self._trickle(address, b"GET /v1/cas HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100)

    async def _trickle_body(self, address: str) -> str:
        return await self._trickle(address, self._request(self._alice, b" " * 100), fast=-100)

    async def _trickle(self, address: str, sent: bytes, fast: int = 0) -> str:
        reader, writer = await self._connect(address)
        try:
            writer.write(sent[: fast or 1])
            for byte in sent[fast or 1 :]:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.3)
            return (await _read_reply(reader))[0]
        finally:
            writer.transport.abort()

    async def _take_no_replies(self, address: str) -> str:
        """Ask for long replies, many times, and read none of them."""
        _, writer = await self._connect(address)
        try:
            writer.write(b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
            await asyncio.sleep(self._random.uniform(1, 10))
        finally:
            writer.transport.abort()
        return LEFT

    async def _reset(self, address: str) -> str:
        """Send a request that is carried out, and reset the connection before the reply."""
        _, writer = await self._connect(address)
        writer.write(self._request(self._alice, BODY))
        await asyncio.sleep(self._random.uniform(0, 0.05))
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return LEFT

    async def _exchange(self, address: str, sent: bytes) -> str:
        reader, writer = await self._connect(address)
        try:
            writer.write(sent)
            status, body = await _read_reply(reader)
        finally:
            writer.transport.abort()
        self._keep(status, body)
        return status

    async def _connect(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._tls, server_hostname="127.0.0.1", local_addr=(address, 0)
        )

    def _request(self, credential: str, body: dict[str, Any] | bytes) -> bytes:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = (
            f"POST {_USER} HTTP/1.1\r\nHost: ca.example.org\r\nAuthorization: Bearer {credential}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        )
        return head.encode() + raw

    def _note(self, name: str, status: str, body: bytes) -> None:
        self.answers[f"{status} {name}"] += 1
        self._keep(status, body)

    def _keep(self, status: str, body: bytes) -> None:
        if status == "201":
            self.lines += [each["certificate"] for each in json.loads(body)["certificates"]]
        elif b"Traceback" in body:
            self.wrong.append(f"{status}: {body[:300]!r}")


async def _read_reply(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Read one reply; return its status and body."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
    except asyncio.LimitOverrunError as error:
        raise AssertionError("a reply with a header without end") from error
    return lines[0].split(" ")[1], body


def main() -> None:
    """Press as standard input says, and say on standard output what came of it."""
    told = json.load(sys.stdin)
    crowd = Crowd(told["port"], told["authorities"], told["credentials"], told["seed"])
    asyncio.run(crowd.press(told["connections"], told["seconds"]))
    json.dump({"answers": crowd.answers, "lines": crowd.lines, "wrong": crowd.wrong}, sys.stdout)


if __name__ == "__main__":
    main()
