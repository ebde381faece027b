"""The ways to bring an alarm to somebody: a line of the log, a webhook, a command. Each does, or raises."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol
from urllib.parse import urlsplit

from appliance.config import Config, calling_environment, check_webhook
from appliance.errors import ChanceryError

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 10
COMMAND_TIMEOUT_S: Final = 60
# Of what a command says of its failure.
MAX_SAID: Final = 16_384
_LEVELS: Final = {"warning": logging.WARNING, "critical": logging.CRITICAL}


class NotDelivered(ChanceryError):
    """An alarm that has not arrived, as far as can be told: it is to be brought again."""


class Way(Protocol):
    """A way."""

    @property
    def name(self) -> str:
        """What its position is remembered by."""

    def deliver(self, alarm: Mapping[str, Any]) -> None:
        """Bring an alarm, as it was rendered; raise :class:`NotDelivered` if it did not arrive."""


class LogWay:
    """A structured line in the log of the process, with the event and the entry."""

    name = "log"

    def deliver(self, alarm: Mapping[str, Any]) -> None:
        """Write the line."""
        extra = {"event": alarm["event"]} | ({"seq": alarm["entry"]} if "entry" in alarm else {})
        log.log(_LEVELS[alarm["severity"]], "alarm: %s", alarm["summary"], extra=extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookWay:
    """A POST of the alarm as JSON; taken is what was answered with 2xx. Redirections are not followed."""

    read_url: Callable[[], str]
    authorities: Path | None = None
    name: str = "webhook"

    def deliver(self, alarm: Mapping[str, Any]) -> None:
        """Send it, and wait for the answer."""
        try:
            url = urlsplit(check_webhook(self.read_url()))
            status = self._post(
                url.scheme, url.netloc, f"{url.path or '/'}{'?' if url.query else ''}{url.query}", alarm
            )
        except http.client.HTTPException as error:
            # Not in its words, which may be the URL's or the receiver's.
            raise NotDelivered(f"the webhook did not answer as HTTP does: {type(error).__name__}") from error
        except (OSError, ValueError) as error:
            raise NotDelivered(f"the webhook could not be reached: {error}") from error
        if not 200 <= status < 300:
            raise NotDelivered(f"the webhook answered {status}, expected 2xx")

    def _post(self, scheme: str, place: str, path: str, alarm: Mapping[str, Any]) -> int:
        if scheme == "https":
            context = ssl.create_default_context(cafile=self.authorities and str(self.authorities))
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                place, timeout=TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(place, timeout=TIMEOUT_S)
        # A timeout is for one step, and an answer can have many: after all of the time it ends where it is.
        deadline = threading.Timer(TIMEOUT_S, _hang_up, (connection,))
        deadline.daemon = True
        deadline.start()
        try:
            body = json.dumps(alarm).encode()
            connection.request("POST", path, body=body, headers={"Content-Type": "application/json"})
            return connection.getresponse().status
        finally:
            deadline.cancel()
            connection.close()


def _hang_up(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError, AttributeError):  # it is closed, or there is none yet
        connection.sock.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandWay:
    """A program that gets the alarm as JSON on its standard input; exit status 0 is: taken."""

    command: tuple[str, ...]
    name: str = "command"

    def deliver(self, alarm: Mapping[str, Any]) -> None:
        """Run it, and wait for it."""
        # Not into a pipe: a child of the program that goes on would hold it open, and the program has ended.
        with tempfile.TemporaryFile() as said:
            status = self._run(json.dumps(alarm).encode(), said)
            if status != 0:
                said.seek(0)
                why = said.read(MAX_SAID).decode(errors="replace").strip()[-200:]
                raise NotDelivered(f"the command ended with {status}: {why}")

    def _run(self, alarm: bytes, said: IO[bytes]) -> int:
        try:
            return subprocess.run(
                list(self.command),
                input=alarm,
                stdout=subprocess.DEVNULL,
                stderr=said,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
                env=calling_environment(),
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise NotDelivered(f"the command did not end within {COMMAND_TIMEOUT_S} s") from error
        except OSError as error:
            raise NotDelivered(f"the command could not be run: {error}") from error


def configured_ways(config: Config) -> list[Way]:
    """Return the ways that are configured; the log is always one."""
    ways: list[Way] = [LogWay()]
    if config.alarms.webhook is not None:
        authorities = config.alarms.webhook_ca and config.path(config.alarms.webhook_ca)
        ways.append(WebhookWay(read_url=config.read_webhook, authorities=authorities))
    if config.alarms.command:
        ways.append(CommandWay(command=config.alarms.command))
    return ways
