"""Clients that ask without pause, and the judgement of the ledger afterwards."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any, Final

from appliance.ssh.certificate import parse_certificate_line
from appliance.ssh.keys import format_public_key_line
from audit.stores.sqlite import SqliteReader
from support.service import Service
from support.ssh_examples import public_key

BODY: Final = {"public_key": format_public_key_line(public_key("ed25519", 5)), "logins": ["deploy"]}


class Load:
    """Clients that ask without pause, and keep what they were given."""

    def __init__(self, service: Service, subjects: Sequence[str] = ("alice",), clients: int = 6) -> None:
        self._service = service
        self._stop = threading.Event()
        credentials = [service.credential(subject) for subject in subjects]
        self.slowest_s = 0.0
        self.lines: list[str] = []
        self.slugs: set[str] = set()
        self._threads = [
            threading.Thread(target=self._run, args=(credential,))
            for credential in islice(cycle(credentials), clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Have the clients end with the request that they are at."""
        self._stop.set()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, credential: str) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                reply = self._service.http("POST", "/v1/certificates/user", BODY, credential=credential)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if reply.status == 201:
                self.lines.append(reply.json["certificates"][0]["certificate"])
            else:
                self.slugs.add(reply.slug)
                time.sleep(0.02)

    def await_more(self, count: int) -> None:
        """Wait until so many more certificates were given."""
        goal, deadline = len(self.lines) + count, time.monotonic() + 60
        while len(self.lines) < goal:
            assert time.monotonic() < deadline, f"stuck at {len(self.lines)}; problems: {self.slugs}"
            time.sleep(0.02)


def entries(service: Service) -> list[dict[str, Any]]:
    reader = SqliteReader(service.data / "ledger.db")
    try:
        return [json.loads(raw) for raw in reader.entries(0, reader.size())]
    finally:
        reader.close()


def judge(service: Service, lines: list[str]) -> None:
    """Check, with the service stopped, that the ledger holds what clients hold, and verifies."""
    report = json.loads(service.cli("ledger", "verify", "--json", check=False).stdout)
    assert report["verdict"] == "verified", report["findings"]
    found = entries(service)
    of_kind: dict[str, list[dict[str, Any]]] = {}
    for entry in found:
        of_kind.setdefault(entry["kind"], []).append(entry)
    issued = {entry["data"]["intent"]: entry["data"]["signature"] for entry in of_kind["certificate.issued"]}
    intents = {entry["seq"]: entry["data"]["tbs"] for entry in of_kind["certificate.intent"]}
    held = [parse_certificate_line(line) for line in lines]
    assert len({certificate.content.serial for certificate in held}) == len(held), "a serial was given twice"
    for certificate in held:
        seq = certificate.content.serial & (1 << 48) - 1
        assert base64.b64decode(intents[seq]) == certificate.tbs
        assert base64.b64decode(issued[seq]) == certificate.signature
    unfulfilled = of_kind.get("certificate.failed", []) + of_kind.get("certificate.abandoned", [])
    outcomes = [*issued, *(entry["data"]["intent"] for entry in unfulfilled)]
    assert len(of_kind["certificate.issued"]) == len(issued)
    assert sorted(outcomes) == sorted(intents), "every intent has exactly one outcome"
