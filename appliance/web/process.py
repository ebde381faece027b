"""The web tier as a process: gunicorn with gevent workers, TLS, and the health socket beside it."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import ssl
import tempfile
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import gunicorn.app.base

from appliance.config import Config, LimitsTable
from appliance.confinement import allow_open_files
from appliance.identity.sessions import KEY_BYTES

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_GRACE_S: Final = 30
# Of the health socket's connections: how long one lasts, and how many there are at a time.
_HEALTH_S: Final = 60
_HEALTH_CONNECTIONS: Final = 32
# Of TLS 1.2: forward secrecy and authenticated encryption alone (RFC 9325 §4.2); TLS 1.3 has nothing else.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Server(gunicorn.app.base.BaseApplication):  # type: ignore[misc, unused-ignore]
    """Gunicorn, configured here and nowhere else."""

    def __init__(self, config: Config, health: socket.socket) -> None:
        self._config = config
        self._health = health
        # Made anew with each start, and nowhere but in the memory of this process and of its workers.
        self._session_key = os.urandom(KEY_BYTES)
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        config = self._config
        settings: dict[str, Any] = {
            "bind": config.service.listen,
            "workers": config.service.workers,
            "worker_class": "appliance.web.worker.Worker",
            "worker_connections": 1_000,
            "backlog": 1_024,
            "timeout": 60,
            "graceful_timeout": _GRACE_S,
            "keepalive": 30,
            "certfile": str(config.path(config.tls.certificate)),
            "keyfile": str(config.path(config.tls.key)),
            "ssl_context": _make_ssl_context,
            "limit_request_line": 4_094,
            "limit_request_fields": 50,
            "limit_request_field_size": 8_190,
            "control_socket_disable": True,
            # It trusts no proxy, as appliance.web.proxies may: headers could name scheme and path too.
            "forwarded_allow_ips": "",
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: PTH112, S108
            "proc_name": "chancery-web",
            "post_fork": _prepare_worker,
            "post_worker_init": self._serve_health,
            "logger_class": _Logger,
        }
        if config.tls.clients is not None:
            settings |= {
                "ca_certs": str(config.path(config.tls.clients)),
                "cert_reqs": ssl.CERT_OPTIONAL,
            }
        for name, value in settings.items():
            self.cfg.set(name, value)

    @property
    def limits(self) -> LimitsTable:
        """Return what the worker holds its clients to."""
        return self._config.limits

    @property
    def trusted_proxies(self) -> tuple[str, ...]:
        """Return the addresses of the proxies that are believed about whom they stand for."""
        return self._config.service.trusted_proxies

    def load(self) -> Flask:
        """Build the application in the worker, after gevent has replaced what blocks."""
        from appliance.web.build import build_app  # noqa: PLC0415

        return build_app(self._config, self._session_key)

    def _serve_health(self, _worker: object) -> None:
        import gevent  # noqa: PLC0415 - in the worker only: the master must not have a hub to fork
        from gevent.pywsgi import WSGIHandler, WSGIServer  # noqa: PLC0415

        from appliance.web.build import build_health  # noqa: PLC0415

        class Handler(WSGIHandler):
            """Ends a connection after a while, whatever it waits for."""

            def handle(self) -> None:
                with gevent.Timeout(_HEALTH_S, False):  # type: ignore[arg-type] # it then ends quietly
                    super().handle()

        # What the hub would print on standard error, past all logging.
        gevent.get_hub().print_exception = _log_failure  # type: ignore[method-assign, assignment]
        WSGIServer(
            self._health,
            build_health(self._config),
            log=None,
            error_log=None,
            handler_class=Handler,
            spawn=_HEALTH_CONNECTIONS,
        ).start()


def run_web(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    allow_open_files()
    with tempfile.TemporaryDirectory(prefix="chancery-metrics-") as directory:
        # prometheus-client has no other way to be told where workers keep their numbers; it is set, not read.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory  # noqa: TID251
        health = _bind(config.service.health)
        _keep_sigterm_for_workers()
        try:
            Server(config, health).run()
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else 0
    return 0


class _Logger:
    """Gunicorn's log, by way of ours; what it would say of each request is said by the application."""

    def __init__(self, _cfg: object) -> None:
        self._log = logging.getLogger("gunicorn")

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name in {"access", "reopen_files", "close_on_exec"}:
            return lambda *_args, **_kwargs: None
        found: Callable[..., None] = getattr(self._log, name)
        return found


def _log_failure(
    _context: object,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    """Log what ended a greenlet. A handshake that fails is the client's affair, and anyone can cause one."""
    if issubclass(kind, OSError):  # ssl.SSLError is one
        log.info("a connection failed before there was a request: %s", error)
    else:
        log.error("a greenlet failed", exc_info=(kind, error, trace))


def _make_ssl_context(_config: object, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # From 3.13 on Python asks for all of RFC 5280's form, key identifiers for one, which client CAs in use
    # lack. Who may sign for clients is settled by the file that the operator named, on every Python alike.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _prepare_worker(_server: object, _worker: object) -> None:
    """Have the worker end with its master: no worker may stay at a port that the next master needs."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _keep_sigterm_for_workers() -> None:
    """Have no SIGTERM lost on a worker that is being born.

    Until it sets handlers of its own it has the master's, which only take a note of the signal: the master
    would wait out the whole grace. So the signal waits, from before the fork until it has its default effect.
    """

    def receive_in_child() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        unblock()

    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=receive_in_child)


def _bind(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host.strip("[]"), int(port)))
    listener.listen(64)
    listener.setblocking(False)
    return listener
