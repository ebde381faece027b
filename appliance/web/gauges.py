"""What the authority says of itself, for Prometheus: asked when Prometheus asks, not counted on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmCounts:
    """How many alarms are on record, by event and severity, and how many each way has still to bring."""

    on_record: Mapping[tuple[str, str], int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)


class StatusCollector(Collector):
    """The metrics of one status; ``index_lag`` is how many entries the index is behind. None: it is down."""

    def __init__(self, status: Mapping[str, Any] | None, index_lag: int, alarms: AlarmCounts) -> None:
        self._status = status
        self._index_lag = index_lag
        self._alarms = alarms

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        status = self._status
        yield from _alarm_metrics(self._alarms)
        yield _gauge("authority_up", "Whether the authority answers.", int(status is not None))
        if status is None:
            return
        yield _gauge("issuing", "Whether nothing keeps certificates back.", int(not status["problems"]))
        yield _gauge("ledger_entries", "Entries on record.", status["size"])
        unsigned = status["size"] - status["checkpoint_size"]
        yield _gauge("ledger_unsigned_entries", "Entries that no checkpoint covers yet.", unsigned)
        yield _gauge("index_lag_entries", "Entries that the index has not read yet.", self._index_lag)
        yield _gauge("waiting_commands", "Commands that wait for the writer.", status["waiting"])
        yield _gauge("requests_under_way", "Issuing requests between entry and reply.", status["under_way"])
        yield _gauge("open_intents", "Intents without an outcome yet.", status["open_intents"])
        yield _gauge("live_certificates", "Certificates that are valid.", status["live_certificates"])
        yield from _token_metrics(status["token"])


def _alarm_metrics(alarms: AlarmCounts) -> Iterator[Metric]:
    counted = CounterMetricFamily(
        "chancery_alarms", "Alarms on record since the log began.", labels=["event", "severity"]
    )
    for labels, count in alarms.on_record.items():
        counted.add_metric(labels, count)
    yield counted
    waiting = GaugeMetricFamily("chancery_alarms_waiting", "Alarms not delivered yet.", labels=["way"])
    for way, count in alarms.waiting.items():
        waiting.add_metric([way], count)
    yield waiting


def _token_metrics(token: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("token_ready", "Whether the token can be used.", int(token["condition"] == "ready"))
    condition = GaugeMetricFamily(
        "chancery_token_condition_seconds", "For how long the token is as it is.", labels=["condition"]
    )
    condition.add_metric([token["condition"]], token["for_s"])
    yield condition
    yield _gauge("token_sessions", "Sessions that sign.", token["sessions"])
    yield _gauge("token_sessions_busy", "Sessions with a call under way.", token["busy"])
    yield _gauge("token_sessions_hanging", "Sessions whose call is past its deadline.", token["overran"])
    yield _gauge("token_queued", "Signatures that wait for a session.", token["queued"])
    yield _gauge("token_longest_call_seconds", "Age of the oldest call under way.", token["longest_call_s"])
    yield _gauge("token_call_seconds", "Mean time of the last calls.", token["call_ms"] / 1000)
    yield _counter("token_calls", "Calls that came back.", token["calls"])
    yield _counter("token_failed_calls", "Calls that came back with an error.", token["failed"])
    tried = CounterMetricFamily(
        "chancery_token_recoveries", "Rungs of the recovery ladder that were tried.", labels=["rung", "cause"]
    )
    for each in token["recoveries"]:
        tried.add_metric([each["rung"], each["cause"]], each["count"])
    yield tried


def render_gauges(status: Mapping[str, Any] | None, index_lag: int, alarms: AlarmCounts) -> bytes:
    """Return them in the text format."""
    registry = CollectorRegistry()
    registry.register(StatusCollector(status, index_lag, alarms))
    return generate_latest(registry)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"chancery_{name}", documentation, value=value)


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(f"chancery_{name}", documentation, value=value)
