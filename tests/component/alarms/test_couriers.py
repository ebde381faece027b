"""Couriers on a real index: in order, again until taken, from where they were; a HOLD once for each time."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.alarms import ways
from appliance.alarms.couriers import Courier, pause_s
from appliance.alarms.positions import Position, Positions, read_positions
from appliance.alarms.records import AlarmRecord, count_alarms, last_alarms
from appliance.alarms.ways import CommandWay, NotDelivered, WebhookWay
from appliance.config import check_webhook
from appliance.index.projection import Projection
from appliance.index.queries import Index, IndexUnavailable
from audit.entry import decode_entry
from audit.stores.sqlite import SqliteReader
from support.authority import running_authority
from support.receivers import Receiver, receiving
from support.service import free_port

# What a log with one policy and two CAs has: the policy and its admin, and three phases of two keys.
EXPECTED = ["policy.changed", "admin.added", *["ca.created", "ca.trusted", "ca.signing"] * 2]


class Ledger:
    """A way that keeps what it gets, and fails when told to."""

    name = "kept"

    def __init__(self) -> None:
        self.events: list[tuple[int, str]] = []
        self.fails_at: int | None = None

    def deliver(self, alarm: Mapping[str, Any]) -> None:
        if self.fails_at == len(self.events):
            self.fails_at = None
            raise NotDelivered("told to fail")
        self.events.append((alarm.get("entry", -1), alarm["event"]))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("alarms")
    with running_authority(directory / "ledger.db"):
        pass
    reader = SqliteReader(directory / "ledger.db")
    entries = [decode_entry(raw) for raw in reader.entries(0, reader.size())]
    reader.close()
    projection = Projection.open(directory / "index.db")
    for entry in entries:  # one at a time, as they come
        projection.apply([entry])
    whole = Projection.open(directory / "whole.db")
    whole.apply(entries)
    for each in (projection, whole):
        each.close()
    return directory / "index.db"


def courier(database: Path, way: Any, directory: Path) -> Courier:
    """Return a courier that has just started."""
    positions = Positions(directory / "alarms.json")
    return Courier(way=way, index=Index(database), positions=positions, hold=directory / "hold")


def bring_all(bringing: Courier) -> None:
    while bringing.step():
        pass


def test_index_has_the_same_alarms_however_its_entries_came(database: Path) -> None:
    found = []
    for path in (database, database.with_name("whole.db")):
        with Index(path).snapshot() as snapshot:
            found.append(last_alarms(snapshot, 100))
            assert sum(count_alarms(snapshot).values()) == len(EXPECTED)
    assert found[0] == found[1]


def test_alarms_come_in_order_and_once(database: Path, tmp_path: Path) -> None:
    way = Ledger()
    bring_all(courier(database, way, tmp_path))
    assert [event for _, event in way.events] == EXPECTED
    assert sorted(way.events, key=lambda each: each[0]) == way.events
    bring_all(courier(database, way, tmp_path))
    assert len(way.events) == len(EXPECTED)


@pytest.mark.parametrize("fails_at", range(len(EXPECTED)))
def test_alarm_that_was_not_taken_comes_again_and_none_is_lost(
    database: Path, tmp_path: Path, fails_at: int
) -> None:
    way = Ledger()
    way.fails_at = fails_at
    with pytest.raises(NotDelivered):
        bring_all(courier(database, way, tmp_path))
    assert len(way.events) == fails_at
    bring_all(courier(database, way, tmp_path))  # a new process, with nothing but the file
    assert [event for _, event in dict.fromkeys(way.events)] == EXPECTED
    assert len(way.events) - len(EXPECTED) <= 1, "what is repeated are the alarms of one entry"


def test_hold_is_one_alarm_each_time_that_the_authority_stays_down(database: Path, tmp_path: Path) -> None:
    way = Ledger()
    bringing = courier(database, way, tmp_path)
    bring_all(bringing)
    for moment_ns in (1_764_000_000_000_000_001, 1_764_000_000_000_000_002):
        (tmp_path / "hold").write_text("entry 7 was altered\n")
        os.utime(tmp_path / "hold", ns=(moment_ns, moment_ns))
        bring_all(bringing)
        bring_all(courier(database, way, tmp_path))
    assert way.events[len(EXPECTED) :] == [(-1, "hold")] * 2
    (tmp_path / "hold").unlink()
    assert not bringing.step()


def test_position_that_cannot_be_read_is_none_and_everything_comes_again(
    database: Path, tmp_path: Path
) -> None:
    way = Ledger()
    bring_all(courier(database, way, tmp_path))
    assert read_positions(tmp_path / "alarms.json")["kept"].next_seq > 0
    for text in ("", "[]", '{"kept": 5}', '{"kept": {"last": 5}}'):
        (tmp_path / "alarms.json").write_text(text)
        assert read_positions(tmp_path / "alarms.json") == {}
    bring_all(courier(database, way, tmp_path))
    assert [event for _, event in way.events] == EXPECTED * 2


def test_way_that_is_new_has_everything_to_bring_and_one_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    positions = Positions(tmp_path / "alarms.json")
    positions.keep(["log", "webhook"])
    positions.move("log", next_seq=9)
    positions.move("webhook", hold_ns=5)
    Positions(tmp_path / "alarms.json").keep(["log", "command"])
    assert read_positions(tmp_path / "alarms.json") == {"log": Position(next_seq=9), "command": Position()}


def test_receiver_that_is_gone_for_months_is_still_tried_every_minute() -> None:
    assert [pause_s(failures) for failures in (1, 2, 3, 6, 7, 1_100, 10**6)] == [1, 2, 4, 32, 60, 60, 60]


def test_index_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(IndexUnavailable):
        courier(tmp_path / "index.db", Ledger(), tmp_path).step()


def test_webhook_takes_what_it_answers_with_2xx_and_nothing_else() -> None:
    receiver, port = Receiver(), free_port()
    receiver.answers.set()
    way = WebhookWay(read_url=lambda: f"http://127.0.0.1:{port}/alarms?key=secret")
    with pytest.raises(NotDelivered, match="could not be reached") as refused:
        way.deliver({"event": "x"})
    assert "secret" not in str(refused.value)
    with receiving(receiver, port):
        way.deliver({"event": "x"})
        for status in (302, 400, 404, 500, 503):
            receiver.status = status
            with pytest.raises(NotDelivered, match=f"answered {status}, expected 2xx"):
                way.deliver({"event": "y"})
    assert receiver.alarms == [{"event": "x"}]


@pytest.mark.parametrize(
    "url",
    ["http://alarms.example.org/", "ftp://127.0.0.1/", "alarms.example.org", "", "https:///x", "file:/x"],
)
def test_webhook_that_anyone_on_the_way_could_read_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected an https:// URL") as refused:
        check_webhook(url)
    assert not url or url not in str(refused.value)
    with pytest.raises(NotDelivered):
        WebhookWay(read_url=lambda: url).deliver({"event": "x"})


@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cret@127.0.0.1/",
        "https://127.0.0.1:s3cret/",
        "https://127.0.0.1:99999/s3cret",
        "https://127.0.0.1/s3cret token",
        "https://127.0.0.1/s3cret\x00",
        "https://127.0.0.1/s3crét",
        "https://[s3cret/",
    ],
)
def test_webhook_that_is_no_url_is_refused_in_words_that_do_not_tell_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected a URL|Port out of range|IPv6") as refused:
        check_webhook(url)
    with pytest.raises(NotDelivered) as failed:
        WebhookWay(read_url=lambda: url).deliver({"event": "x"})
    assert "s3c" not in f"{refused.value} {failed.value}"


@pytest.mark.parametrize("url", ["https://a.example.org/x?y=z", "http://[::1]:8080/", "http://localhost:1"])
def test_webhook_may_have_an_address_a_port_and_a_query(url: str) -> None:
    assert check_webhook(url) == url


def trickle(listener: socket.socket, first: bytes) -> None:
    """Take a request, and answer it without end."""
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        connection.recv(65_536)
        connection.sendall(first)
        while True:
            time.sleep(0.05)
            connection.sendall(b"X-More: a\r\n")


@pytest.mark.parametrize(("first", "taken"), [(b"HTTP/1.1 200 OK\r\n", True), (b"", False)])
def test_webhook_that_trickles_holds_its_alarms_up_for_no_longer_than_its_time(
    monkeypatch: pytest.MonkeyPatch, first: bytes, taken: bool
) -> None:
    monkeypatch.setattr(ways, "TIMEOUT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=trickle, args=(listener, first), daemon=True).start()
        way = WebhookWay(read_url=lambda: f"http://127.0.0.1:{listener.getsockname()[1]}/")
        began_s = time.monotonic()
        with contextlib.nullcontext() if taken else pytest.raises(NotDelivered, match="as HTTP does"):
            way.deliver({"event": "x"})
    assert time.monotonic() - began_s < 8


def test_command_that_leaves_a_child_behind_has_taken_the_alarm(tmp_path: Path) -> None:
    """The child holds what it inherited; to wait for it would be to page somebody every minute."""
    began_s = time.monotonic()
    CommandWay(command=("sh", "-c", "sleep 20 & exit 0")).deliver({"event": "x"})
    assert time.monotonic() - began_s < 15


def test_command_that_does_not_end_is_told_without_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "COMMAND_TIMEOUT_S", 0.2)
    with pytest.raises(NotDelivered, match=r"did not end within 0\.2 s") as refused:
        CommandWay(command=("sleep", "20")).deliver({"event": "x"})
    assert "20" not in str(refused.value)


def test_hold_that_cannot_be_looked_at_holds_up_no_other_alarm(
    database: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    way = Ledger()
    bringing = courier(database, way, tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    bringing.hold = tmp_path / "loop"
    bring_all(bringing)
    assert [event for _, event in way.events] == EXPECTED
    assert caplog.text.count("a HOLD would not be told by kept") == 1


def test_words_of_a_requester_make_no_lines_and_move_no_cursor() -> None:
    record = AlarmRecord(
        seq=7,
        number=0,
        time_ms=0,
        event="break-glass",
        severity="critical",
        summary="alice used root: \x1b[31mfine\nalarm: all is well",
        details={"reason": "\x1b[31mfine\nalarm: all is well"},
    )
    rendered = record.render("log")
    assert rendered["summary"] == r"alice used root: \x1b[31mfine\nalarm: all is well"
    assert rendered["details"]["reason"] == "\x1b[31mfine\nalarm: all is well"


def test_command_gets_the_alarm_and_has_taken_it_when_it_ends_well(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())"
    CommandWay(command=(sys.executable, "-c", write)).deliver({"event": "x"})
    assert out.read_text() == '{"event": "x"}'
    with pytest.raises(NotDelivered, match="ended with 3: no pager"):
        CommandWay(command=("sh", "-c", "echo no pager >&2; exit 3")).deliver({"event": "x"})
    with pytest.raises(NotDelivered, match="could not be run"):
        CommandWay(command=("/nonexistent/pager",)).deliver({"event": "x"})
