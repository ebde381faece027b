"""The authority as a process: put together, run until told to stop, taken apart without losing anything.

Any failure of writer or checkpointer ends the process on the spot: what a failed commit left is found out by
the next start, which reads the ledger, and by nobody before. A token that only a new process can use again
ends it in good order: every intent gets its outcome first.
"""

from __future__ import annotations

import logging
import os
import pwd
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from appliance.authority.cas.ceremony import Ceremony
from appliance.authority.issuing.admission import Admission
from appliance.authority.issuing.denials import INTERVAL_MS, Denials, RecordDenials
from appliance.authority.issuing.issuance import Cycle
from appliance.authority.issuing.rates import Rates
from appliance.authority.issuing.replay import Replayer
from appliance.authority.life import Checkpointer, Node
from appliance.authority.operations.parts import Parts
from appliance.authority.operations.surface import Operations
from appliance.authority.ordering.preparing import Preparer
from appliance.authority.probe import Probe
from appliance.authority.publishing.bundling import Bundler
from appliance.authority.publishing.listing import Lister
from appliance.authority.signing import Signing
from appliance.authority.startup import Opened, begin, find_keys, find_tail, make_pool, open_ledger
from appliance.authority.status import Status
from appliance.authority.transport.server import Server
from appliance.authority.writer import Writer
from appliance.clock import now_ms
from appliance.config import HOLD_FILE, Config, UsersTable
from audit.errors import LedgerAltered, LedgerInUse, LedgerShort
from audit.stores.sqlite import SqliteReader
from hsm.errors import KeyRefused
from hsm.pin import Pin
from hsm.pool import Pool

log = logging.getLogger(__name__)

# Exit codes that the supervisor tells apart; the others mean: start it again.
EXIT_HOLD: Final = 3  # the ledger is not what was written: a person must look
EXIT_IN_USE: Final = 4  # another authority runs
EXIT_RENEW: Final = 5  # the token needs a new process
_EXIT_FAILED: Final = 70
# Most tokens are open by then, and callers need not be told to come again.
_OPENING_S: Final = 5.0
_DRAIN_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A running authority."""

    writer: Writer
    pool: Pool
    checkpointer: Checkpointer
    denials: Denials
    servers: tuple[Server, ...]

    def stop(self, *, token_works: bool = True) -> None:
        """Take nothing more, finish what is under way, and leave a checkpoint over node.stopped."""
        for server in self.servers:
            server.stop()
        self.writer.drain()
        if token_works:
            self.pool.drain(_DRAIN_S)
        else:
            self.pool.stop()
        self.writer.submit_owed(RecordDenials(self.denials, all_of_them=True))
        self.checkpointer.stop()
        self.writer.stop()
        self.pool.stop()


def run_authority(config: Config, *, pin: Pin | None = None) -> int:
    """Run until SIGTERM or SIGINT, or until the token needs a new process; return the exit code."""
    stay_on_cpus(config.service.authority_cpus)
    stopping = threading.Event()
    renewals: list[str] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    def renew(reason: str) -> None:
        log.critical("the authority starts anew: %s", reason)
        renewals.append(reason)
        stopping.set()

    try:
        with _opened(config) as opened:
            pool = make_pool(config, opened.state, pin=pin, now_ms=now_ms, restart=renew)
            authority = start_authority(config, opened, pool)
            log.info("ready: %s, %d entries", opened.state.origin, opened.ledger.size)
            while not stopping.wait(INTERVAL_MS / 1000):
                authority.writer.submit_owed(RecordDenials(authority.denials))
            authority.stop(token_works=not renewals)
    except LedgerInUse as error:
        log.critical("%s", error)
        return EXIT_IN_USE
    except (LedgerAltered, LedgerShort, KeyRefused) as error:
        _hold(config, str(error))
        return EXIT_HOLD
    log.info("stopped")
    if renewals:
        # Not by way of the module's own clean-up, which may wait for the call that hangs.
        os._exit(EXIT_RENEW)
    return 0


def start_authority(config: Config, opened: Opened, pool: Pool) -> Authority:
    """Build the authority's parts in the order in which they need each other, and start them.

    Raises:
        KeyRefused: two purposes on record share a key.
    """
    keys = find_keys(opened.state, pool)
    pool.start()
    if not pool.wait_ready(_OPENING_S):
        log.error("nothing is issued yet: %s", pool.problem)
    tail = find_tail(opened.ledger)
    node = Node(name=socket.gethostname()[:63], software=f"chancery {version('chancery')}")
    begin(opened, node, now_ms())
    origin = opened.state.origin
    admission = Admission(pool.snapshot, pool.limits)
    writer = Writer(
        opened.ledger,
        opened.state,
        now_ms=now_ms,
        on_failure=_fail,
        under_way=lambda: admission.under_way,
    )
    checkpointer = Checkpointer(
        writer,
        SqliteReader(config.ledger),
        keys.ledger,
        node=node,
        origin=origin,
        tail=tail,
        call_s=lambda: pool.snapshot().counts.call_s,
        on_failure=_fail,
    )
    signing = Signing(pool, keys.cas)
    replayer = Replayer(SqliteReader(config.ledger))
    probe = Probe(pool, keys.probe, writer, origin=origin, now_ms=now_ms)
    bundler = Bundler(pool, keys.bundle, SqliteReader(config.ledger))
    lister = Lister(keys.bundle, read=writer.read, problem=lambda: pool.problem)
    ceremony, policies = Ceremony(pool, signing, writer), Preparer("policies", writer)
    rates = Rates(config.limits.identity_rate, clock_s=time.monotonic, applied=lambda: opened.state.applied)
    rates.recall(opened.state.certificates.values(), now_ms())
    denials = Denials()
    status = Status(
        pool=pool,
        admission=admission,
        module=str(config.path(config.token.module)),
        restarts=config.token.pin != "prompt",
        writer=writer,
        checkpointer=checkpointer,
        started_ms=now_ms(),
    )
    operations = Operations(
        Parts(
            writer=writer,
            cycle=Cycle(
                sign=signing.submit,
                submit_owed=writer.submit_owed,
                replay=replayer.submit,
                denials=denials,
                draw=secrets.token_bytes,
            ),
            ceremony=ceremony,
            policies=policies,
            reader=SqliteReader(config.ledger),
            last_checkpoint=lambda: checkpointer.last,
            now_ms=now_ms,
            status=status.read,
            probe=probe.ask,
            bundle=bundler.submit,
            lister=lister,
            admission=admission,
            rates=rates,
            readers=reading_uids(config.users),
        )
    )
    uids = service_uids(config.users)
    servers = (
        Server(config.authority_socket, operations, uids=uids, local=False),
        Server(
            config.admin_socket,
            operations,
            uids={0, os.geteuid()},
            local=True,
            # They ask at the other socket, where they can be told from people.
            barred=uids - {0, os.geteuid()},
        ),
    )
    for part in (writer, replayer, probe, bundler, lister, ceremony, policies, checkpointer, *servers):
        part.start()
    return Authority(writer=writer, pool=pool, checkpointer=checkpointer, denials=denials, servers=servers)


def stay_on_cpus(count: int) -> None:
    """Keep this thread, and those that it will start, on so many of the CPUs that it may use; 0 is all.

    One thread at a time runs Python. To hand that over to another CPU costs more than a second CPU brings,
    but for a token that computes long signatures in this very process (docs/performance.md).
    """
    available = sorted(os.sched_getaffinity(0))
    if 0 < count < len(available):
        os.sched_setaffinity(0, available[-count:])


def service_uids(users: UsersTable | None) -> set[int]:
    """Return the users whose connections are the web tier's and the index's."""
    if users is None:
        return {os.geteuid()}
    return {pwd.getpwnam(name).pw_uid for name in (users.web, users.index)}


def reading_uids(users: UsersTable | None) -> set[int]:
    """Return the users who may read and nothing else: the index, if it has a user of its own."""
    if users is None:
        return set()
    return {pwd.getpwnam(users.index).pw_uid} - {pwd.getpwnam(users.web).pw_uid}


@contextmanager
def _opened(config: Config) -> Iterator[Opened]:
    """Open the ledger, and close it: a clean close folds the WAL into the file."""
    opened = open_ledger(config)
    (config.data / HOLD_FILE).unlink(missing_ok=True)
    try:
        yield opened
    finally:
        opened.ledger.close()


def _hold(config: Config, reason: str) -> None:
    """Say why nothing is issued, to the log and where ``chancery status`` finds it."""
    log.critical("HOLD: %s", reason)
    path = config.data / HOLD_FILE
    path.write_text(f"{reason}\n", "utf-8")
    path.chmod(0o644)  # also for the process that brings alarms


def _fail(error: BaseException) -> None:
    """End at once: nothing may be recorded or released after a commit whose outcome is unknown."""
    log.critical("the authority ends, and must read its ledger anew: %s", error, exc_info=error)
    os._exit(_EXIT_FAILED)
