"""`chancery login` and `logout` before anybody is asked: what is kept, what is missing, what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.cli.main import main
from appliance.client.saved import FILE_NAME, Login, save_login

LOGIN = Login(
    url="https://127.0.0.1:1", ca=None, provider="oidc", identity="oidc:ada", credential="c", expires_s=2**40
)


def run(home: Path, *arguments: str) -> Result:
    environment = {"XDG_CONFIG_HOME": str(home), "SSH_AUTH_SOCK": None}
    return CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)


def test_first_login_has_to_be_told_where(tmp_path: Path) -> None:
    done = run(tmp_path, "login")
    assert (done.exit_code, "say where" in done.output) == (2, True)


@pytest.mark.parametrize(
    "url",
    [
        *("http://ca.example.org", "https://ca.example.org/v1", "ca.example.org", "https://"),
        *("https://ca.example.org:65536", "https://ca.example.org:port", "https://[::1"),
    ],
)
def test_url_that_is_no_services_is_refused(tmp_path: Path, url: str) -> None:
    done = run(tmp_path, "login", url)
    assert (done.exit_code, "expected the service's URL" in done.output) == (1, True)


def test_login_that_others_could_read_is_not_used(tmp_path: Path) -> None:
    save_login(tmp_path / "chancery", LOGIN)
    (tmp_path / "chancery" / FILE_NAME).chmod(0o644)
    done = run(tmp_path, "login")
    assert (done.exit_code, "others can read it" in done.output) == (1, True)


def test_login_that_is_kept_goes_on_where_it_was_and_needs_an_agent(tmp_path: Path) -> None:
    save_login(tmp_path / "chancery", LOGIN)
    done = run(tmp_path, "login")
    assert (done.exit_code, "no ssh-agent runs" in done.output) == (1, True)


def test_service_that_cannot_be_reached_is_one_that_does_not_run(tmp_path: Path) -> None:
    done = run(tmp_path, "login", "https://127.0.0.1:1")
    assert (done.exit_code, "cannot be asked" in done.output) == (3, True)


def test_logout_forgets_the_login_once(tmp_path: Path) -> None:
    save_login(tmp_path / "chancery", LOGIN)
    assert json.loads(run(tmp_path, "logout", "--json").stdout) == {"forgotten": True, "removed": 0}
    assert json.loads(run(tmp_path, "logout", "--json").stdout) == {"forgotten": False, "removed": 0}
    assert "there was no login" in run(tmp_path, "logout").output
