"""What the pool makes of a token: how busy it keeps a slow one, how close it comes to the rate of a fast one.

The token is SoftHSM behind the tests' shim, which sleeps in C_Sign where it is told to, and counts there:
busy is the time spent inside C_Sign, of all sessions, as a share of the time that went by.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from hsm.algorithm import Algorithm
from hsm.errors import HsmError
from hsm.keys import PrivateKey, prepare
from hsm.pool import Pool
from support.tokens import ShimmedToken

MESSAGE = bytes(500)  # about the size of a certificate's to-be-signed bytes
IN_FLIGHT_PER_SESSION = 3
ROUND_S = 0.4


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5, help="for each number")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="chancery-bench-") as directory:
        token = ShimmedToken.make(Path(directory), Algorithm.RSA_3072)
        print(f"\n{'':44}{'per second':>11}{'share':>8}{'at least':>10}")
        measure_busy(token, sessions=30, delay_ms=10, wanted=0.90, seconds=seconds)
        measure_busy(token, sessions=1, delay_ms=100, wanted=0.95, seconds=seconds)
        measure_rsa(token, seconds)


def measure_busy(token: ShimmedToken, *, sessions: int, delay_ms: int, wanted: float, seconds: float) -> None:
    """Keep a slow token busy with P-256 signatures, and print which share of the time it was."""
    pool, _ = token.ready_pool(sessions=sessions)
    key = pool.private_key(token.probe.public_key, "the probe key")
    token.shim.delay_ns = delay_ms * 1_000_000
    with Load(pool, key, callers=16, in_flight=IN_FLIGHT_PER_SESSION * sessions):
        time.sleep(0.5)
        busy, calls, began = token.shim.busy_ns, token.shim.calls, time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        share = (token.shim.busy_ns - busy) / 1e9 / took / sessions
        rate = (token.shim.calls - calls) / took
    token.shim.calm()
    pool.stop()
    name = f"{delay_ms} ms token, {sessions} sessions: time in C_Sign"
    print(f"{name:44}{rate:11.1f}{share:8.3f}{wanted:10.2f}")


def measure_rsa(token: ShimmedToken, seconds: float) -> None:
    """Print RSA-3072 by sixteen callers through the pool, beside one session that does nothing else.

    The two alternate in short rounds, so that a machine that others use as well slows both alike; of the
    rounds' shares the median counts.
    """
    pool, key = token.ready_pool(sessions=1)
    assert pool.token is not None
    record = next(record for record in pool.token.keys() if record.label == "ca")  # noqa: SIM118
    session = pool.token.open_session()
    data = prepare(key, MESSAGE).data
    raw, pooled = [], []
    for _ in range(max(5, int(4 * seconds))):
        raw.append(rate_of(lambda: session.sign(record, data), ROUND_S))
        with Load(pool, key, callers=16, in_flight=16) as load:
            time.sleep(ROUND_S / 10)
            before, began = load.done, time.monotonic()
            time.sleep(ROUND_S)
            pooled.append((load.done - before) / (time.monotonic() - began))
    pool.stop()
    share = median(there / alone for there, alone in zip(pooled, raw, strict=True))
    print(f"{'RSA-3072, C_Sign in one session':44}{median(raw):11.1f}{1:8.3f}")
    print(f"{'RSA-3072, 16 callers, pool of one session':44}{median(pooled):11.1f}{share:8.3f}{0.95:10.2f}")


def rate_of(act: Callable[[], object], seconds: float) -> float:
    """Return how often a second something can be done, one after the other."""
    count, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        act()
        count += 1
    return count / (time.monotonic() - began)


class Load:
    """Keeps so many jobs of so many callers in the pool: each answer submits the next."""

    def __init__(self, pool: Pool, key: PrivateKey, *, callers: int, in_flight: int) -> None:
        self._pool = pool
        self._key = key
        self._callers = [f"caller-{number % callers}" for number in range(in_flight)]
        self._left = threading.Semaphore(0)
        self._stopping = False
        self.done = 0

    def __enter__(self) -> Load:
        for caller in self._callers:
            self._submit(caller)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for _ in self._callers:
            self._left.acquire()

    def _submit(self, caller: str) -> None:
        prepared = prepare(self._key, MESSAGE)

        def done(answer: bytes | HsmError) -> None:
            if isinstance(answer, HsmError):
                raise SystemExit(str(answer))
            prepared.finish(answer)  # verified, as every signature is
            self.done += 1
            if self._stopping:
                self._left.release()
            else:
                self._submit(caller)

        self._pool.submit(self._key, prepared, caller=caller, done=done)


if __name__ == "__main__":
    main()
