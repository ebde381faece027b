"""healthz, readyz and metrics: a socket of their own, without TLS, for the machine's own monitoring."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from appliance.alarms.positions import read_positions
from appliance.alarms.records import count_alarms, count_from
from appliance.authority.transport.client import AuthorityClient
from appliance.errors import ChanceryError, Refusal
from appliance.index.queries import Index, Snapshot
from appliance.web.gauges import AlarmCounts, render_gauges
from appliance.web.headers import PLAIN_HEADERS
from appliance.web.metrics import render_metrics

log = logging.getLogger(__name__)

_PROBE_TIMEOUT_S: Final = 10.0
_JSON: Final = "application/json"

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class HealthApp:
    """A WSGI application of three paths; each answers without asking who is asking."""

    def __init__(self, authority: AuthorityClient, index: Index, positions: Path) -> None:
        """Prepare; ``positions`` is where couriers remember how far they are."""
        self._authority = authority
        self._index = index
        self._positions = positions

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        routes = {"/healthz": self._alive, "/readyz": self._ready, "/metrics": self._metrics}
        route = routes.get(environ.get("PATH_INFO", ""))
        if route is None or environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
            status, media_type, body = "404 Not Found", "text/plain", b"healthz, readyz or metrics\n"
        else:
            status, media_type, body = route()
        fields = {"Content-Type": media_type, "Content-Length": str(len(body)), **PLAIN_HEADERS}
        start_response(status, list(fields.items()))
        return [body]

    def _alive(self) -> tuple[str, str, bytes]:
        return "200 OK", _JSON, b'{"alive": true}\n'

    def _ready(self) -> tuple[str, str, bytes]:
        """Say whether a certificate could be issued now: the token signs and the ledger takes a batch."""
        problems: list[str] = []
        try:
            probe = self._authority.call("probe", timeout_s=_PROBE_TIMEOUT_S)
            problems += probe["problems"]
        except Refusal as refusal:
            problems.append(f"authority: {refusal.detail}")
        try:
            with self._index.snapshot():
                pass
        except ChanceryError as error:
            problems.append(f"index: {error}")
        body = json.dumps({"ready": not problems, "problems": problems}).encode() + b"\n"
        return "503 Service Unavailable" if problems else "200 OK", _JSON, body

    def _metrics(self) -> tuple[str, str, bytes]:
        return "200 OK", "text/plain; version=0.0.4; charset=utf-8", self._gauges() + render_metrics()

    def _gauges(self) -> bytes:
        """Return what is asked at the moment of asking, rather than counted as it happens."""
        try:
            with self._index.snapshot() as snapshot:
                covered, alarms = snapshot.size, self._count_alarms(snapshot)
        except ChanceryError:
            covered, alarms = 0, AlarmCounts()
        try:
            status = self._authority.call("status", timeout_s=_PROBE_TIMEOUT_S)
        except Refusal:
            return render_gauges(None, 0, alarms)
        return render_gauges(status, max(0, status["size"] - covered), alarms)

    def _count_alarms(self, snapshot: Snapshot) -> AlarmCounts:
        waiting = {
            way: count_from(snapshot, position.next_seq)
            for way, position in read_positions(self._positions).items()
        }
        return AlarmCounts(on_record=count_alarms(snapshot), waiting=waiting)
