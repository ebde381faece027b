"""The CAs that an engineer's ssh believes of hosts, in a file of our own: nothing of his is touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from appliance.client.replies import CaKeys
from appliance.client.service import ServiceClient
from appliance.errors import ConfigError

FILE_NAME: Final = "known_hosts"
# All hosts: the file is read for those alone that ssh is told to read it for.
ANY_HOST: Final = "*"
_MARKER: Final = "@cert-authority"
_TRUSTED: Final = frozenset({"trusted", "signing"})


def fetch_known_hosts(client: ServiceClient, pattern: str) -> str:
    """Return a line for each key that hosts' certificates are signed with, now or next. Needs no login.

    Raises:
        Refusal: the service cannot be asked.
        ConfigError: it has none.
    """
    keys = [
        key
        for key in client.get("/v1/cas", CaKeys).cas
        if key.type == "host" and key.phase in _TRUSTED and not key.halted
    ]
    if not keys:
        raise ConfigError("the service has no CA of hosts that is to be trusted")
    return "".join(f"{_MARKER} {pattern} {key.public_key} {key.ca}\n" for key in keys)


def kept_pattern(directory: Path) -> str:
    """Return the hosts that the file is about, as it was written last; any, if there is none."""
    try:
        words = (directory / FILE_NAME).read_text("utf-8").split(maxsplit=2)
    except (OSError, UnicodeDecodeError):
        return ANY_HOST
    return words[1] if words[:1] == [_MARKER] and len(words) > 1 else ANY_HOST


def write_known_hosts(directory: Path, text: str) -> Path:
    """Put the file in its place whole: ssh may be reading it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / FILE_NAME
    new = path.with_name(f"{FILE_NAME}.{os.getpid()}.new")
    new.write_text(text, "utf-8")
    new.replace(path)
    return path
