"""The login that is kept: its owner's alone, replaced as a whole, and nothing else taken for one."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from appliance.client.saved import FILE_NAME, Login, forget_login, load_login, save_login
from appliance.errors import ConfigError

LOGIN = Login(
    url="https://ca.example.org",
    ca=None,
    provider="oidc",
    identity="oidc:ada",
    credential="eyJ.secret",
    expires_s=1_764_000_000,
)


SAVED = json.dumps(asdict(LOGIN))


def test_login_is_kept_for_its_owner_alone_and_can_be_replaced_and_forgotten(tmp_path: Path) -> None:
    directory = tmp_path / "config" / "chancery"
    assert load_login(directory) is None
    for _ in range(2):
        save_login(directory, LOGIN)
        assert load_login(directory) == LOGIN
    assert stat.S_IMODE((directory / FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [each.name for each in directory.iterdir()] == [FILE_NAME]
    assert forget_login(directory)
    assert not forget_login(directory)


def test_logins_at_once_each_leave_a_whole_file(tmp_path: Path) -> None:
    logins = [replace(LOGIN, url="u" * length) for length in (5, 500, 50)]

    def save(login: Login) -> None:
        for _ in range(50):
            save_login(tmp_path, login)
            assert load_login(tmp_path) in logins

    with ThreadPoolExecutor(3) as pool:
        for each in [pool.submit(save, login) for login in logins]:
            each.result(60)
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]


def test_credential_does_not_show_itself() -> None:
    assert "secret" not in repr(LOGIN)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"url": 1}', "\0", SAVED.replace('"oidc"', "5"), SAVED.replace("1764000000", '"x"')],
)
def test_file_that_is_no_login_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / FILE_NAME
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="is no login") as raised:
        load_login(tmp_path)
    assert "secret" not in str(raised.value)


def test_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    save_login(tmp_path, LOGIN)
    (tmp_path / FILE_NAME).chmod(0o640)
    with pytest.raises(ConfigError, match="others can read it"):
        load_login(tmp_path)
