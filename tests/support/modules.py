"""Real PKCS#11 modules other than SoftHSM, each as a user would set it up: for processes of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hsm.connection import TokenSource
from hsm.module import load_module
from hsm.pin import Pin
from hsm.softhsm import create_token, find_module

PIN: Final = "user-pin-of-a-test"
SO_PIN: Final = "so-pin-of-a-test"


@dataclass(frozen=True, slots=True, kw_only=True)
class RealModule:
    """All that opens a token, and what it cannot do as it should."""

    module: Path
    label: str
    pin: str = PIN
    parameters: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    tolerated: tuple[str, ...] = ()
    attestation: int | None = None

    def source(self) -> TokenSource:
        """Return the way to the token."""
        return TokenSource(
            load=lambda: load_module(self.module, parameters=self.parameters, environment=self.environment),
            label=self.label,
            read_pin=lambda: Pin(self.pin),
            tolerated=self.tolerated,
            attestation=self.attestation,
        )


@contextmanager
def softhsm(directory: Path) -> Iterator[RealModule]:
    """Set up SoftHSM."""
    configuration = create_token(directory / "token", "test", pin=Pin(PIN), so_pin=Pin(SO_PIN))
    yield RealModule(module=find_module(), label="test", environment={"SOFTHSM2_CONF": str(configuration)})


@contextmanager
def nss(directory: Path) -> Iterator[RealModule]:
    """Set up NSS's own token, on a database with a password."""
    database, password = directory / "nss", directory / "nss-password"
    database.mkdir()
    password.write_text(f"{PIN}\n")
    subprocess.run(
        ["certutil", "-N", "-d", f"sql:{database}", "-f", password],
        check=True,
        capture_output=True,
        timeout=60,
    )
    yield RealModule(
        module=_find_library("libsoftokn3.so"),
        label="NSS Certificate DB",
        parameters=f"configdir='sql:{database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags= ",
        # It says false of keys that it made itself.
        tolerated=("CKA_LOCAL",),
    )


@contextmanager
def tpm(directory: Path) -> Iterator[RealModule]:
    """Set up a TPM 2.0 in software, its resource manager on a private bus, and tpm2-pkcs11 on top."""
    state, store = directory / "tpm", directory / "store"
    state.mkdir()
    store.mkdir()
    port = _free_pair()
    environment = {
        "TPM2_PKCS11_STORE": str(store),
        "TPM2_PKCS11_TCTI": "tabrmd:bus_type=session",
        "TPM2TOOLS_TCTI": "tabrmd:bus_type=session",
        "TPM2_PKCS11_LOG_LEVEL": "0",
    }
    with (
        _daemon(
            *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"),
            *(
                "--server",
                f"type=tcp,bindaddr=127.0.0.1,port={port}",
                "--ctrl",
                f"type=tcp,bindaddr=127.0.0.1,port={port + 1}",
            ),
            *("--flags", "not-need-init,startup-clear"),
        ),
        _bus(directory) as bus,
    ):
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = environment["DBUS_SESSION_BUS_ADDRESS"] = bus
        _await_listener(port + 1)
        with _daemon("tpm2-abrmd", "--allow-root", "--session", f"--tcti=swtpm:host=127.0.0.1,port={port}"):
            _tpm_tool(environment, "init")
            _tpm_tool(
                environment,
                *("addtoken", "--pid=1", f"--sopin={SO_PIN}", f"--userpin={PIN}", "--label=test"),
            )
            yield RealModule(
                module=_find_library("libtpm2_pkcs11.so"),
                label="test",
                environment=environment,
                # Its ordinary keys sign and decrypt, or do neither.
                tolerated=("CKA_DECRYPT",),
                attestation=0x8F000002,  # CKA_TPM2_PUB_BLOB
            )


def _tpm_tool(environment: Mapping[str, str], *arguments: str) -> None:
    """Run tpm2_ptool; it needs the resource manager, which takes a moment to take its name on the bus."""
    deadline = time.monotonic() + 20
    while True:
        done = subprocess.run(
            ["tpm2_ptool", *arguments, "--path", environment["TPM2_PKCS11_STORE"]],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode == 0:
            return
        assert "Tabrmd was not provided" in done.stderr, done.stderr
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.2)


@contextmanager
def _bus(directory: Path) -> Iterator[str]:
    address = f"unix:path={directory / 'bus'}"
    with _daemon("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={address}"):
        deadline = time.monotonic() + 10
        while not (directory / "bus").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield address


@contextmanager
def _daemon(*command: str) -> Iterator[None]:
    program = shutil.which(command[0])
    assert program is not None, f"{command[0]} is not installed"
    process = subprocess.Popen(
        [program, *command[1:]], stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _find_library(name: str) -> Path:
    for pattern in (f"usr/lib/*/{name}", f"usr/lib/*/pkcs11/{name}", f"usr/lib/*/nss/{name}"):
        for found in Path("/").glob(pattern):
            return found
    raise AssertionError(f"{name} is not installed")


def _free_pair() -> int:
    """Return a free port whose next one is free too: where the driver looks for the TPM's control channel."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", port + 1))
                return port


def _await_listener(port: int) -> None:
    """Wait without connecting: the TPM takes the first connection for its user's."""
    deadline = time.monotonic() + 10
    while f"0100007F:{port:04X} 00000000:0000 0A" not in Path("/proc/net/tcp").read_text():
        assert time.monotonic() < deadline, f"nobody listens on {port}"
        time.sleep(0.02)


MODULES: Final = {"softhsm": softhsm, "nss": nss, "tpm": tpm}
