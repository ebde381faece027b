"""A SoftHSM token behind the shim, and a pool on it. For processes of their own: see support.isolated."""

from __future__ import annotations

import os
import queue
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hsm.algorithm import Algorithm
from hsm.connection import Connection, Probe, TokenSource
from hsm.errors import HsmError
from hsm.keys import PrivateKey, prepare
from hsm.module import load_module
from hsm.pin import Pin, pin_from_file
from hsm.pool import Limits, Pool
from hsm.softhsm import create_token, find_module, use_configuration
from hsm.token import Token
from support.shim import Shim

LABEL: Final = "test"
PIN: Final = "user-pin-of-a-test"
SO_PIN: Final = "so-pin-of-a-test"
MESSAGE: Final = b"to be signed" * 20
SOON_S: Final = 30.0


@dataclass(slots=True)
class ShimmedToken:
    """A token with a probe key and a CA key, both P-256 unless told otherwise; not opened."""

    directory: Path
    shim: Shim
    probe: Probe
    ca: Algorithm
    restarts: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, directory: Path, ca: Algorithm = Algorithm.ECDSA_P256) -> ShimmedToken:
        """Make the token and its keys in ``directory``."""
        configuration = create_token(directory / "token", LABEL, pin=Pin(PIN), so_pin=Pin(SO_PIN))
        use_configuration(configuration)
        shim = Shim(directory, find_module())
        os.environ.update(shim.environment)
        pin_file = directory / "pin"
        pin_file.write_text(PIN)
        pin_file.chmod(0o600)
        token = Token.open(load_module(shim.module), LABEL, Pin(PIN))
        probe = token.generate("probe", Algorithm.ECDSA_P256).record
        shutil.copytree(directory / "token", directory / "before")
        token.generate("ca", ca)
        token.abandon()
        return cls(directory, shim, Probe(public_key=probe.public_key, message=lambda: b"a probe"), ca)

    @property
    def pin_file(self) -> Path:
        """Return where the PIN is read from."""
        return self.directory / "pin"

    def restore_backup(self) -> None:
        """Put the token back to before it had its CA key; noticed when the module is initialised."""
        shutil.rmtree(self.directory / "token")
        shutil.copytree(self.directory / "before", self.directory / "token")

    def pool(self, **limits: float) -> Pool:
        """Return a pool that is not started; a restart is only noted."""
        source = TokenSource(
            load=lambda: load_module(self.shim.module),
            label=LABEL,
            read_pin=lambda: pin_from_file(self.pin_file),
        )
        chosen = Limits(**({"sessions": 2, "keep_alive_s": 60.0} | limits))  # type: ignore[arg-type]
        return Pool(Connection(source, self.probe), chosen, restart=self.restarts.append)

    def ready_pool(self, **limits: float) -> tuple[Pool, PrivateKey]:
        """Return a pool that has its token, and its CA key."""
        pool = self.pool(**limits)
        pool.start()
        assert pool.wait_ready(SOON_S), pool.problem
        assert pool.token is not None
        record = next(record for record in pool.token.keys() if record.label == "ca")  # noqa: SIM118
        return pool, pool.private_key(record.public_key, "the CA key")


def submit(pool: Pool, key: PrivateKey, caller: str = "alice") -> queue.SimpleQueue[bytes | HsmError]:
    """Have a signature made, and return where the answer will be; it is verified there."""
    prepared = prepare(key, MESSAGE)
    answers: queue.SimpleQueue[bytes | HsmError] = queue.SimpleQueue()

    def done(answer: bytes | HsmError) -> None:
        answers.put(answer if isinstance(answer, HsmError) else prepared.finish(answer))

    pool.submit(key, prepared, caller=caller, done=done)
    return answers


def eventually(condition: Callable[[], bool], within_s: float = SOON_S) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)
