"""The configuration: ``chancery.toml`` in the data directory, and ``CHANCERY_…`` in the environment above it.

The one place that reads settings and environment. Nothing in here is secret: the PIN is somewhere else, and
here is where. What the ledger has on record (its origin, its keys) is not configured a second time.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from appliance.buckets import Rate
from appliance.days import check_zone
from appliance.durations import parse_duration
from appliance.errors import ConfigError
from appliance.identity.settings import IdentityTable
from appliance.policy.names import check_name
from appliance.words import explain

FILE_NAME: Final = "chancery.toml"
# Where the authority says why it stays down, when it does; below the data directory.
HOLD_FILE: Final = "run/hold"
DEFAULT_DATA: Final = Path("/var/lib/chancery")
_PREFIX: Final = "CHANCERY_"
# Read elsewhere: which directory, before there is a configuration to read.
_DATA_VARIABLE: Final = "CHANCERY_DATA"
_NUMBER: Final = re.compile("0x[0-9A-Fa-f]{1,16}|[1-9][0-9]{0,19}")


def _check_address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"got {text[:80]!r}, expected host:port, such as 127.0.0.1:8443 or [::1]:8443")
    return text


def _check_pin(text: str) -> str:
    kind, _, where = text.partition(":")
    if text != "prompt" and (kind not in {"file", "credential"} or not where):
        raise ValueError(f"got {text[:80]!r}, expected file:PATH, credential:NAME or prompt")
    return text


# A host, or an address in brackets, and a port.
_PLACE: Final = re.compile(r"([^@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def check_webhook(url: str) -> str:
    """Check the URL of a webhook: https, or http on this machine alone; return it.

    Raises:
        ValueError: it is another; never says which, since it may be a secret.
    """
    parts = urlsplit(url)
    loopback = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if (
        parts.scheme not in {"https", "http"}
        or not parts.hostname
        or (parts.scheme == "http" and not loopback)
    ):
        raise ValueError("expected an https:// URL, or an http:// one of this very machine")
    if _PLACE.fullmatch(parts.netloc) is None or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("expected a URL of visible ASCII characters, with a host and no user before it")
    _ = parts.port  # a number by now, and too high raises
    return url


def _check_webhook_setting(text: str | None) -> str | None:
    if text is not None and not text.startswith("file:"):
        check_webhook(text)
    return text


def _split(value: object) -> object:
    """Split a list that came from the environment, where it is text."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _split_pairs(value: object) -> object:
    """Split NAME=VALUE pairs that came from the environment, where they are text."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.replace(",", " ").split()]
    if not all(name and equals for name, equals, _ in pairs):
        raise ValueError("expected NAME=VALUE, and commas or spaces between several")
    return {name: text for name, _, text in pairs}


def _read_number(value: object) -> object:
    """Read a number that came from the environment, in decimal or as 0x…; the field judges what is none."""
    return int(value, 0) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def _check_networks(blocks: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(block)) for block in blocks)


def _check_proxies(blocks: tuple[str, ...]) -> tuple[str, ...]:
    if any(ipaddress.ip_network(block).prefixlen == 0 for block in blocks):
        raise ValueError("expected the addresses of your proxies; everyone would be one")
    return _check_networks(blocks)


def _seconds(value: object) -> object:
    """Read a duration such as 15m; what is no text is for the field to judge."""
    return parse_duration(value) if isinstance(value, str) else value


_Number = Annotated[int, BeforeValidator(_read_number), Field(ge=0x8000_0000, le=0xFFFF_FFFF)]
Address = Annotated[str, AfterValidator(_check_address)]


class _Table(BaseModel):
    # Not strict: what comes from the environment is text. Unknown keys are refused: a setting with a typing
    # error must not be a setting that is silently not there.
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceTable(_Table):
    """``[service]``: where the web tier listens."""

    listen: Address = "127.0.0.1:8443"
    health: Annotated[Address, Field(description="healthz, readyz and metrics, without TLS")] = (
        "127.0.0.1:8444"
    )
    workers: Annotated[int, Field(ge=1, le=256, description="web worker processes")] = 2
    authority_cpus: Annotated[int, Field(ge=0, le=1024, description="for the authority; 0 is all")] = 1
    trusted_proxies: Annotated[
        tuple[str, ...],
        BeforeValidator(_split),
        AfterValidator(_check_proxies),
        Field(max_length=64, description="that are believed about whose requests they bring"),
    ] = ()


class TlsTable(_Table):
    """``[tls]``: PEM files; relative paths are below the data directory."""

    certificate: Path = Path("tls/server.pem")
    key: Path = Path("tls/server.key")
    clients: Annotated[Path | None, Field(description="CAs whose client certificates are identities")] = None


class TokenTable(_Table):
    """``[token]``: the PKCS#11 token."""

    module: Path
    label: Annotated[str, Field(min_length=1, max_length=32)]
    pin: Annotated[str, AfterValidator(_check_pin)] = "file:token/pin"
    softhsm: Annotated[Path | None, Field(description="softhsm2.conf, for SoftHSM alone")] = None
    parameters: Annotated[str | None, Field(description="what C_Initialize gets, for NSS")] = None
    environment: Annotated[
        dict[str, str],
        BeforeValidator(_split_pairs),
        Field(description="of the module, set before it is loaded"),
    ] = {}
    tolerate: Annotated[
        tuple[str, ...], BeforeValidator(_split), Field(description="attributes that keys may have otherwise")
    ] = ()
    attestation: Annotated[_Number | None, Field(description="a vendor's attribute")] = None
    sessions: Annotated[int, Field(ge=1, le=256, description="signatures asked for at a time")] = 4
    sign_deadline_s: Annotated[float, Field(ge=0.1, le=300, description="for one C_Sign")] = 10
    turn_deadline_s: Annotated[float, Field(ge=0.1, le=300, description="in the queue")] = 10
    keep_alive_s: Annotated[float, Field(ge=1, le=3600, description="an idle session signs a probe")] = 15
    restart_after_s: Annotated[float, Field(ge=1, le=3600, description="of outage: a new process")] = 90


class LimitsTable(_Table):
    """``[limits]``: what one caller may ask for before others come first (docs/limits.md)."""

    certificates_per_s: Annotated[float, Field(ge=0, le=1e6, description="of one identity; 0: no limit")] = (
        100
    )
    # A batch is let in whole or not at all, and holds up to a thousand.
    certificates_burst: Annotated[int, Field(ge=1_000, le=10**9, description="of one identity, at once")] = (
        10_000
    )
    connections_per_address: Annotated[
        int, Field(ge=1, le=100_000, description="open at a time, in each web worker")
    ] = 256
    failures_per_minute: Annotated[
        int, Field(ge=1, le=1_000_000, description="requests of an address that show nothing valid")
    ] = 120
    passwords_per_minute: Annotated[
        int, Field(ge=1, le=1_000_000, description="tried from an address, in each web worker")
    ] = 30
    exempt: Annotated[
        tuple[str, ...], BeforeValidator(_split), AfterValidator(_check_networks), Field(max_length=256)
    ] = ("127.0.0.0/8", "::1/128")

    @property
    def identity_rate(self) -> Rate | None:
        """Return the rate of one identity's certificates; None is no limit."""
        if not self.certificates_per_s:
            return None
        return Rate(per_s=self.certificates_per_s, burst=self.certificates_burst)


class AlarmsTable(_Table):
    """``[alarms]``: whom to tell at once, beside the log (docs/alarms.md)."""

    webhook: Annotated[
        str | None, AfterValidator(_check_webhook_setting), Field(description="a URL, or file:PATH of one")
    ] = None
    webhook_ca: Annotated[Path | None, Field(description="CAs that vouch for it, if not the system's")] = None
    command: Annotated[
        tuple[str, ...], BeforeValidator(_split), Field(description="gets each alarm on its input")
    ] = ()


class UsersTable(_Table):
    """``[users]``: the system users of the three processes, when root starts them."""

    authority: str = "chancery-authority"
    index: str = "chancery-index"
    web: str = "chancery-web"


class FeedTable(_Table):
    """``[[leave.feed]]``: a calendar, as a URL or a file, and whose leave its events are (docs/leave.md)."""

    name: Annotated[str, AfterValidator(check_name)]
    url: str | None = None
    file: Path | None = None
    ca: Annotated[Path | None, Field(description="certificates to trust in place of the system's")] = None
    timezone: Annotated[str, AfterValidator(check_zone), Field(description="of all-day events")] = "UTC"
    interval_s: Annotated[int, Field(alias="interval", ge=10), BeforeValidator(_seconds)] = 900
    timeout_s: Annotated[int, Field(alias="timeout", ge=1, le=300), BeforeValidator(_seconds)] = 20
    max_bytes: Annotated[int, Field(ge=1_024, le=16_777_216)] = 1_048_576
    person: Annotated[str | None, Field(description="whose leave all events are")] = None
    organizers: Annotated[dict[str, str], Field(description="persons by e-mail address")] = {}
    attendees: Annotated[dict[str, str], Field(description="persons by e-mail address")] = {}
    summary: Annotated[str | None, Field(description="such as `Leave: {person}`")] = None
    only_all_day: bool = False
    containing: Annotated[tuple[str, ...], Field(description="words, one of which the summary has")] = ()

    @model_validator(mode="after")
    def _check_choices(self) -> FeedTable:
        if (self.url is None) == (self.file is None):
            raise ValueError("expected one of url and file")
        ways = [
            self.person is not None,
            bool(self.organizers),
            bool(self.attendees),
            self.summary is not None,
        ]
        if sum(ways) != 1:
            raise ValueError("expected one of person, organizers, attendees and summary")
        if self.summary is not None and self.summary.count("{person}") != 1:
            raise ValueError("summary: expected {person} in it, once")
        return self


class LeaveTable(_Table):
    """``[leave]``: the feeds that leave comes from."""

    feeds: Annotated[tuple[FeedTable, ...], Field(alias="feed", max_length=1_000)] = ()

    @model_validator(mode="after")
    def _check_names(self) -> LeaveTable:
        names = [feed.name for feed in self.feeds]
        if len(set(names)) != len(names):
            raise ValueError("two feeds have one name")
        return self


class Config(_Table):
    """Everything that can be configured. Without ``users`` all processes run as whoever starts them."""

    data: Annotated[Path, Field(exclude=True)]
    service: ServiceTable = ServiceTable()
    tls: TlsTable = TlsTable()
    limits: LimitsTable = LimitsTable()
    leave: LeaveTable = LeaveTable()
    alarms: AlarmsTable = AlarmsTable()
    token: TokenTable
    identity: IdentityTable = IdentityTable()
    users: UsersTable | None = None

    def path(self, configured: Path) -> Path:
        """Return a configured path, which is below the data directory unless it is absolute."""
        return self.data / configured

    def read_webhook(self) -> str:
        """Return the URL of the webhook; one that is in a file is read anew each time.

        Raises:
            OSError: it cannot be read.
        """
        text = self.alarms.webhook or ""
        return self.path(Path(text[5:])).read_text("utf-8").strip() if text.startswith("file:") else text

    @property
    def ledger(self) -> Path:
        """Return the ledger's file, which the authority alone can open."""
        return self.data / "ledger.db"

    @property
    def index_directory(self) -> Path:
        """Return the directory of the index: index.db and the tiles."""
        return self.data / "index"

    @property
    def index(self) -> Path:
        """Return the index's file; ``index.db`` in the data directory is a link to it."""
        return self.index_directory / "index.db"

    @property
    def tiles(self) -> Path:
        """Return the directory of the ledger's tiles."""
        return self.index_directory / "tiles"

    @property
    def authority_socket(self) -> Path:
        """Return the socket at which web tier and index ask."""
        return self.data / "run" / "authority.sock"

    @property
    def admin_socket(self) -> Path:
        """Return the socket of the command line, which the web tier's user cannot use."""
        return self.data / "run" / "admin.sock"


def default_data() -> Path:
    """Return the data directory to use when none is named."""
    return Path(os.environ.get(_DATA_VARIABLE, DEFAULT_DATA))


def credentials_directory() -> Path | None:
    """Return where systemd put this service's credentials, if it did."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return None if directory is None else Path(directory)


def user_directory() -> Path:
    """Return where the one who runs the command keeps what is his alone (XDG Base Directory)."""
    configured = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configured) if configured else Path.home() / ".config") / "chancery"


def agent_socket() -> str | None:
    """Return where the ssh-agent listens, if one runs."""
    return os.environ.get("SSH_AUTH_SOCK")


def calling_environment() -> dict[str, str]:
    """Return what a child process needs of the environment, and no more: no secret is handed on by chance."""
    wanted = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TERM", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET")
    return {
        name: value
        for name, value in os.environ.items()
        if name in wanted or (name.startswith(_PREFIX) and name != _DATA_VARIABLE)
    }


def load_config(data: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read the configuration of a data directory.

    Raises:
        ConfigError: there is none, or it is not one; names the table and key.
    """
    path = data / FILE_NAME
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{data}: there is no {FILE_NAME} in it: make a data directory with `chancery init`, or name "
            "another with --data"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    _override(tables, os.environ if environment is None else environment)
    try:
        return Config.model_validate({**tables, "data": data.absolute()})
    except ValidationError as error:
        problems = [f"{path}: {'.'.join(map(str, each['loc']))}: {_message(each)}" for each in error.errors()]
        raise ConfigError("\n".join(problems)) from error


def _override(tables: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Put ``CHANCERY_SERVICE_LISTEN`` in the place of ``service.listen``, and so on."""
    for name, value in environment.items():
        if not name.startswith(_PREFIX) or name == _DATA_VARIABLE:
            continue
        table, _, key = name.removeprefix(_PREFIX).lower().partition("_")
        if table not in {"service", "tls", "limits", "alarms", "token", "users"} or not key:
            raise ConfigError(f"environment: {name} is no setting; expected CHANCERY_<TABLE>_<KEY>")
        tables.setdefault(table, {})[key] = value


def _message(problem: ErrorDetails) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown key; what is not known is refused"
    return explain(problem)
