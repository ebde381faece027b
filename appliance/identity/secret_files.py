"""Secrets of the configuration, from where it says that they are."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from appliance.errors import ConfigError

MAX_BYTES: Final = 4_096


def read_secret(source: str, data: Path, credentials: Path | None) -> str:
    """Read a secret: ``file:PATH`` (below ``data``, for its owner alone) or systemd's ``credential:NAME``.

    Raises:
        ConfigError: it is not there, not readable, or readable for others.
    """
    kind, _, where = source.partition(":")
    if kind == "credential":
        if credentials is None:
            raise ConfigError(f"{source}: systemd has put no credentials anywhere; name a file instead")
        path = credentials / where
    else:
        path = data / where
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            if kind == "file" and mode & 0o077:
                raise ConfigError(f"{path}: mode {mode:04o}; chmod 0600 it")
            text = file.read(MAX_BYTES + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    secret = text.removesuffix("\n")
    if not secret or "\n" in secret or len(text) > MAX_BYTES:
        raise ConfigError(f"{path}: expected a secret on one line")
    return secret
