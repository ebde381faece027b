"""Checks of a host's set-up: what would go wrong later, found now, each with what to do about it."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

from cryptography import x509

from appliance.authority.transport.client import AuthorityClient
from appliance.calendars.feeds import describe_feeds
from appliance.clock import now_ms, now_s
from appliance.config import Config
from appliance.errors import Refusal
from appliance.setup.token_check import describe_token
from appliance.supervisor import is_running

Verdict = Literal["ok", "warning", "problem"]

MIN_FREE_BYTES: Final = 1_073_741_824
_RENEW_BEFORE: Final = timedelta(days=30)
# adjtimex(2): the state in which the kernel's clock is not synchronised.
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 208


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    check: str
    verdict: Verdict
    detail: str


def examine(config: Config) -> Iterator[Finding]:
    """Yield the findings of every check."""
    for check in _CHECKS:
        yield from check(config)


def _check_modes(config: Config) -> Iterator[Finding]:
    """Check what must be its owner's alone."""
    private = [config.ledger, config.path(config.tls.key)]
    kind, _, where = config.token.pin.partition(":")
    if kind == "file":
        private.append(config.data / where)
    for path in private:
        yield _check_private(path)


def _check_private(path: Path) -> Finding:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        return Finding(check="files", verdict="problem", detail=f"{path}: {error.strerror}")
    if mode & 0o077:
        return Finding(check="files", verdict="problem", detail=f"{path}: mode {mode:04o}; chmod 0600 it")
    return Finding(check="files", verdict="ok", detail=f"{path}: its owner's alone")


def _check_users(config: Config) -> Iterator[Finding]:
    if config.users is None:
        detail = "all processes run as one user: whoever breaks into the web tier can read PIN and ledger"
        yield Finding(check="users", verdict="warning", detail=detail)
        return
    for name in (config.users.authority, config.users.index, config.users.web):
        try:
            pwd.getpwnam(name)
        except KeyError:
            yield Finding(
                check="users", verdict="problem", detail=f"there is no user {name}; useradd --system"
            )
            return
    yield Finding(check="users", verdict="ok", detail="three users, one for each process")


def _check_token(config: Config) -> Iterator[Finding]:
    module = config.path(config.token.module)
    if not module.is_file():
        detail = f"{module}: there is no such module; install it, or correct token.module"
        yield Finding(check="token", verdict="problem", detail=detail)
        return
    if config.token.softhsm is not None:
        detail = "SoftHSM keeps the keys in files, protected by the PIN alone: for tests and first steps"
        yield Finding(check="token", verdict="warning", detail=detail)
    if is_running(config):
        yield from _ask_about_token(config)
    elif config.token.pin == "prompt":
        detail = "not tried: its PIN is typed in when the service starts, and again after every restart"
        yield Finding(check="token", verdict="warning", detail=detail)
    else:
        works, detail = describe_token(config)
        yield Finding(check="token", verdict="ok" if works else "problem", detail=detail)


def _ask_about_token(config: Config) -> Iterator[Finding]:
    """Ask the authority that has it open: a second login could disturb it."""
    client = AuthorityClient(config.admin_socket)
    try:
        token = client.call("status")["token"]
    except Refusal as refusal:
        yield Finding(
            check="token", verdict="problem", detail=f"the authority does not say: {refusal.detail}"
        )
        return
    finally:
        client.close()
    if token["condition"] != "ready":
        yield Finding(check="token", verdict="problem", detail=token["problem"])
        return
    detail = (
        f"{token['label']!r} ({token['manufacturer']} {token['model']}, serial {token['serial']}) signs in "
        f"{token['sessions']} sessions, {token['call_ms']} ms a call"
    )
    yield Finding(check="token", verdict="ok", detail=detail)
    if last := token["last_trouble"]:
        detail = f"{last['ago_s']:.0f} s ago a new {last['rung']} was tried: {last['cause']}"
        yield Finding(check="token", verdict="warning", detail=detail)


def _check_tls(config: Config) -> Iterator[Finding]:
    path = config.path(config.tls.certificate)
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        yield Finding(check="tls", verdict="problem", detail=f"{path}: {error}")
        return
    left = timedelta(seconds=certificate.not_valid_after_utc.timestamp() - now_s())
    if left < timedelta(0):
        yield Finding(check="tls", verdict="problem", detail=f"{path} has expired; put a new one there")
    elif left < _RENEW_BEFORE:
        yield Finding(check="tls", verdict="warning", detail=f"{path} expires in {left.days} days")
    else:
        own = " and is self-signed" if certificate.issuer == certificate.subject else ""
        yield Finding(check="tls", verdict="ok", detail=f"{path} lasts {left.days} days{own}")


def _check_identity(config: Config) -> Iterator[Finding]:
    """Check that passwords of the service are nobody else's, and ask each identity provider."""
    # Only for who has providers: what they need is of no use to the rest, and takes its time to be imported.
    from appliance.identity.providers import check_providers  # noqa: PLC0415

    for directory in config.identity.ldap:
        kind, _, where = directory.password.partition(":")
        if kind == "file":
            yield _check_private(config.data / where)
    for name, what, trouble in check_providers(config, time.monotonic):
        verdict: Verdict = "problem" if trouble else "ok"
        yield Finding(check="identity", verdict=verdict, detail=f"{name}: {trouble or f'{what} answers'}")


def _check_clock(_config: Config) -> Iterator[Finding]:
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state == _TIME_ERROR:
        detail = "not synchronised; certificates begin and end by it: run an NTP client"
        yield Finding(check="clock", verdict="warning", detail=detail)
    elif state < 0:
        yield Finding(
            check="clock", verdict="warning", detail="the kernel does not say if it is synchronised"
        )
    else:
        yield Finding(check="clock", verdict="ok", detail="synchronised")


def _check_disk(config: Config) -> Iterator[Finding]:
    free = shutil.disk_usage(config.data).free
    if free < MIN_FREE_BYTES:
        detail = f"{free // 1_048_576} MiB free in {config.data}: without room nothing is recorded or issued"
        yield Finding(check="disk", verdict="problem", detail=detail)
    else:
        yield Finding(check="disk", verdict="ok", detail=f"{free // MIN_FREE_BYTES} GiB free")


def _check_tools(_config: Config) -> Iterator[Finding]:
    if shutil.which("ssh-keygen") is None:
        detail = "ssh-keygen is missing, and orders are signed with it: install openssh-client"
        yield Finding(check="tools", verdict="problem", detail=detail)
    else:
        yield Finding(check="tools", verdict="ok", detail="ssh-keygen is there")
    if os.geteuid() != 0:
        detail = "not run as root: what only root can see was not checked"
        yield Finding(check="tools", verdict="warning", detail=detail)


def _check_leave(config: Config) -> Iterator[Finding]:
    """Check that the feeds that leave comes from are read: while they are not, new leave is missed."""
    for feed in describe_feeds(config, now_ms()):
        detail = f"feed {feed['name']}: {feed.get('problem') or 'is read'}"
        yield Finding(check="leave", verdict="problem" if "problem" in feed else "ok", detail=detail)


_CHECKS: Final[tuple[Callable[[Config], Iterator[Finding]], ...]] = (
    _check_modes,
    _check_users,
    _check_token,
    _check_tls,
    _check_identity,
    _check_clock,
    _check_disk,
    _check_tools,
    _check_leave,
)
