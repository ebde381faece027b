"""The three system users, and what belongs to whom when they are used."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from appliance.config import Config, UsersTable
from appliance.errors import ConfigError


def make_users(users: UsersTable) -> None:
    """Make the system users that do not exist yet: no home, no shell, no password.

    Raises:
        ConfigError: they cannot be made.
    """
    for name in (users.authority, users.index, users.web):
        try:
            pwd.getpwnam(name)
        except KeyError:
            _make_user(name)


def assign_owners(config: Config, users: UsersTable) -> None:
    """Give each process what is its own, and no other what is not.

    The web tier reads the index but cannot write it, and cannot open the ledger at all.
    """
    authority, index, web = (pwd.getpwnam(name) for name in (users.authority, users.index, users.web))
    # The authority makes files beside the ledger, and cannot touch those of others: root believes
    # chancery.toml.
    _own(config.data, 0, authority.pw_gid, recurse=False)
    config.data.chmod(0o1775)
    for path in config.data.glob("ledger.db*"):
        _own(path, authority.pw_uid, authority.pw_gid)
    for name in ("run", "token"):
        _own(config.data / name, authority.pw_uid, authority.pw_gid)
    _own(config.path(config.tls.key), web.pw_uid, web.pw_gid)
    # New files in it belong to the web tier's group, which may read them.
    _own(config.index_directory, index.pw_uid, web.pw_gid)
    config.index_directory.chmod(0o2750)


def _own(path: Path, uid: int, gid: int, *, recurse: bool = True) -> None:
    if not path.exists():
        return
    os.chown(path, uid, gid)
    if recurse and path.is_dir():
        for below in path.rglob("*"):
            os.chown(below, uid, gid, follow_symlinks=False)


def _make_user(name: str) -> None:
    command = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent"]
    done = subprocess.run(
        [*command, "--shell", "/usr/sbin/nologin", name], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ConfigError(
            f"the system user {name} cannot be made: {done.stderr.strip()}; or use --single-user"
        )
