"""Couriers: one thread for each way, that brings what is new, in order, until it is taken.

They run in the process that writes the index, beside what follows the ledger, and nothing waits for them: a
receiver that is down holds up the alarms behind the first one, on its own way and on no other. A position is
written after a delivery, so that a crash in between repeats the alarms of one entry and loses none.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.alarms.positions import FILE_NAME, Position, Positions
from appliance.alarms.records import AlarmRecord, next_alarms
from appliance.alarms.ways import NotDelivered, Way, configured_ways
from appliance.config import Config
from appliance.index.queries import Index, IndexUnavailable

log = logging.getLogger(__name__)

POLL_S: Final = 0.5
FIRST_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0


def pause_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row: twice as long each time, up to a minute."""
    # Bounded before it is raised: a receiver that is gone for a day fails more often than a float can double.
    doublings = min(failures - 1, 16)
    return min(FIRST_PAUSE_S * 2.0**doublings, MAX_PAUSE_S)


@dataclass(slots=True)
class Courier:
    """Brings alarms by one way. ``hold`` is the file that the authority leaves when it stays down.

    ``blind``: it was said that this file cannot be looked at.
    """

    way: Way
    index: Index
    positions: Positions
    hold: Path
    failures: int = 0
    blind: bool = False

    def run(self, stopping: threading.Event) -> None:
        """Bring what there is and what comes, until told to stop."""
        while not stopping.is_set():
            try:
                went = self.step()
            except IndexUnavailable:
                went = False  # there is nothing to read yet, or not just now
            except NotDelivered as error:
                self._note(error)
                stopping.wait(pause_s(self.failures))
                continue
            except Exception:
                log.exception("alarms by %s come to a halt for %.0f s", self.way.name, MAX_PAUSE_S)
                stopping.wait(MAX_PAUSE_S)
                continue
            self.failures = 0
            if not went:
                stopping.wait(POLL_S)

    def step(self) -> bool:
        """Bring the next alarms, those of one entry or a HOLD; say whether there were any.

        Raises:
            NotDelivered: they have not all arrived; all of them are brought again.
            IndexUnavailable: they cannot be read.
        """
        position = self.positions.get(self.way.name)
        with self.index.snapshot() as snapshot:
            origin, found = snapshot.log().origin, next_alarms(snapshot, position.next_seq)
        held = self._find_hold(position)
        for alarm in (*held, *found):
            self.way.deliver(alarm.render(origin))
            if alarm.seq < 0:
                self.positions.move(self.way.name, hold_ns=alarm.time_ms * 1_000_000 + alarm.number)
        if found:
            self.positions.move(self.way.name, next_seq=found[0].seq + 1)
        return bool(found or held)

    def _find_hold(self, position: Position) -> list[AlarmRecord]:
        """Find what says that the authority holds; each time it is written is an alarm of its own."""
        moment_ns = self._see_hold()
        if moment_ns is None or moment_ns == position.hold_ns:
            return []
        try:
            reason = self.hold.read_text("utf-8").strip()
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            reason = f"why cannot be read: {error}"
        time_ms, number = divmod(moment_ns, 1_000_000)
        return [
            AlarmRecord(
                seq=-1,
                number=number,
                time_ms=time_ms,
                event="hold",
                severity="critical",
                summary=f"HOLD, nothing is issued until an operator acts: {reason}",
                details={"reason": reason},
            )
        ]

    def _see_hold(self) -> int | None:
        """Return when the file was written, in nanoseconds; None if it is not there, or out of sight."""
        try:
            moment_ns = self.hold.stat().st_mtime_ns
        except FileNotFoundError:
            moment_ns = None
        except OSError as error:
            if not self.blind:
                log.error("a HOLD would not be told by %s: %s", self.way.name, error)  # noqa: TRY400
            self.blind = True
            return None
        self.blind = False
        return moment_ns

    def _note(self, error: NotDelivered) -> None:
        """Say it the first time, and then as often as the pause doubles or an hour goes by."""
        self.failures += 1
        if self.failures <= 7 or self.failures % 60 == 0:
            log.error("an alarm was not delivered, attempt %d: %s", self.failures, error)


def start_couriers(config: Config, hold_file: str, stopping: threading.Event) -> None:
    """Start a courier for each way that is configured."""
    positions, ways = Positions(config.index_directory / FILE_NAME), configured_ways(config)
    positions.keep(way.name for way in ways)
    for way in ways:
        courier = Courier(
            way=way, index=Index(config.index), positions=positions, hold=config.data / hold_file
        )
        name = f"alarms-{way.name}"
        threading.Thread(target=courier.run, args=(stopping,), name=name, daemon=True).start()
