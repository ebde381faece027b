"""The login that is kept: one file, its owner's alone, with a credential that ends by itself."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from appliance.errors import ConfigError

FILE_NAME: Final = "login.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where somebody is logged in, as whom, and until when. An empty credential is one that was given up."""

    url: str
    ca: str | None
    provider: str
    identity: str
    credential: str
    expires_s: int

    def __repr__(self) -> str:
        return f"Login({self.identity} at {self.url}, until {self.expires_s})"


_LOGIN: Final = TypeAdapter(Login)


def load_login(directory: Path) -> Login | None:
    """Return the login that is kept, if there is one.

    Raises:
        ConfigError: others can read the file, or it is none of ours.
    """
    path = directory / FILE_NAME
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigError(f"{path}: others can read it; chmod 0600 it, and log in anew")
            return _LOGIN.validate_json(file.read(), strict=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except ValueError as error:  # what it says of it holds the credential
        raise ConfigError(f"{path}: is no login; remove it, and log in anew") from error


def save_login(directory: Path, login: Login) -> None:
    """Keep a login in the place of the one before; a crash leaves one or the other."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A name of its own, since somebody may log in twice at once; for its owner alone from the beginning.
    descriptor, new = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=directory)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(login), file)
            file.flush()
            os.fsync(descriptor)
        Path(new).replace(directory / FILE_NAME)
    except OSError:
        Path(new).unlink(missing_ok=True)
        raise


def forget_login(directory: Path) -> bool:
    """Remove the login that is kept; say whether there was one."""
    try:
        (directory / FILE_NAME).unlink()
    except FileNotFoundError:
        return False
    return True
