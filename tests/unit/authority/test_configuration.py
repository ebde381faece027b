"""The configuration: unknown settings are refused, and the environment stands above the file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.alarms.ways import configured_ways
from appliance.buckets import Rate
from appliance.config import load_config
from appliance.errors import ConfigError

GOOD = '[token]\nmodule = "/usr/lib/softhsm/libsofthsm2.so"\nlabel = "chancery"\n'


def load(directory: Path, text: str, **environment: str) -> object:
    (directory / "chancery.toml").write_text(text)
    return load_config(directory, environment)


def test_defaults_are_those_of_a_single_machine(tmp_path: Path) -> None:
    config = load_config(tmp_path, {}) if load(tmp_path, GOOD) else None
    assert config is not None
    assert config.service.listen == "127.0.0.1:8443"
    assert config.ledger == tmp_path / "ledger.db"
    assert config.path(config.tls.key) == tmp_path / "tls" / "server.key"
    assert config.path(Path("/etc/x")) == Path("/etc/x")
    assert config.users is None


def test_environment_stands_above_the_file(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    config = load_config(
        tmp_path, {"CHANCERY_SERVICE_WORKERS": "7", "CHANCERY_TOKEN_LABEL": "other", "HOME": "/"}
    )
    assert (config.service.workers, config.token.label) == (7, "other")


BY_ENVIRONMENT: dict[str, dict[str, tuple[str, object]]] = {
    "service": {
        "listen": ("[::1]:9443", "[::1]:9443"),
        "health": ("127.0.0.1:9444", "127.0.0.1:9444"),
        "workers": ("7", 7),
        "authority_cpus": ("0", 0),
    },
    "tls": {
        "certificate": ("a.pem", Path("a.pem")),
        "key": ("a.key", Path("a.key")),
        "clients": ("clients.pem", Path("clients.pem")),
    },
    "token": {
        "module": ("/usr/lib/other.so", Path("/usr/lib/other.so")),
        "label": ("other", "other"),
        "pin": ("credential:pin", "credential:pin"),
        "softhsm": ("softhsm2.conf", Path("softhsm2.conf")),
        "parameters": ("configdir='x' flags=1", "configdir='x' flags=1"),
        "environment": ("A=/etc/a.conf, B=b=c", {"A": "/etc/a.conf", "B": "b=c"}),
        "tolerate": ("CKA_EXTRACTABLE CKA_DECRYPT", ("CKA_EXTRACTABLE", "CKA_DECRYPT")),
        "attestation": ("0x80000001", 0x8000_0001),
        "sessions": ("30", 30),
        "sign_deadline_s": ("2.5", 2.5),
        "turn_deadline_s": ("3", 3),
        "keep_alive_s": ("60", 60),
        "restart_after_s": ("600", 600),
    },
    "limits": {
        "certificates_per_s": ("0", 0),
        "certificates_burst": ("2000", 2_000),
        "connections_per_address": ("9", 9),
        "failures_per_minute": ("9", 9),
        "passwords_per_minute": ("9", 9),
        "exempt": ("10.0.0.0/8", ("10.0.0.0/8",)),
    },
    "alarms": {
        "webhook": ("file:hook", "file:hook"),
        "webhook_ca": ("ca.pem", Path("ca.pem")),
        "command": ("page --now", ("page", "--now")),
    },
    "users": dict.fromkeys(("authority", "index", "web"), ("someone", "someone")),
}
# Lists of tables, which no variable could hold.
IN_THE_FILE_ONLY = {"data", "leave", "identity"}


def test_every_table_but_those_of_providers_and_calendars_is_in_the_environment_too(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    config = load_config(tmp_path, {"CHANCERY_USERS_WEB": "someone"})
    tables = {name: value for name, value in config if name not in IN_THE_FILE_ONLY}
    assert {name: set(type(table).model_fields) for name, table in tables.items()} == {
        name: set(keys) for name, keys in BY_ENVIRONMENT.items()
    }


@pytest.mark.parametrize(
    ("table", "key"), [(table, key) for table in BY_ENVIRONMENT for key in BY_ENVIRONMENT[table]]
)
def test_every_key_can_be_set_by_the_environment(tmp_path: Path, table: str, key: str) -> None:
    text, expected = BY_ENVIRONMENT[table][key]
    load(tmp_path, GOOD)
    config = load_config(tmp_path, {f"CHANCERY_{table}_{key}".upper(): text})
    assert getattr(getattr(config, table), key) == expected


def test_limits_have_defaults_that_nobody_meets_by_accident(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    limits = load_config(tmp_path, {}).limits
    assert limits.identity_rate == Rate(per_s=100, burst=10_000)
    assert limits.exempt == ("127.0.0.0/8", "::1/128")


def test_limits_can_be_lifted_and_lists_come_from_the_environment_too(tmp_path: Path) -> None:
    load(tmp_path, GOOD)
    lifted = {"CHANCERY_LIMITS_CERTIFICATES_PER_S": "0", "CHANCERY_LIMITS_EXEMPT": "10.0.0.0/8, ::1"}
    limits = load_config(tmp_path, lifted).limits
    assert limits.identity_rate is None
    assert limits.exempt == ("10.0.0.0/8", "::1/128")
    assert load_config(tmp_path, {"CHANCERY_LIMITS_EXEMPT": ""}).limits.exempt == ()


def test_webhook_is_in_the_file_or_in_another_that_is_read_anew_each_time(tmp_path: Path) -> None:
    load(tmp_path, GOOD + "[alarms]\nwebhook = 'file:hook'\ncommand = ['page', '--now']\n")
    config = load_config(tmp_path, {})
    for url in ("https://a.example/1", "https://a.example/2"):
        (tmp_path / "hook").write_text(f"{url}\n")
        assert config.read_webhook() == url
    assert config.alarms.command == ("page", "--now")
    direct = load_config(tmp_path, {"CHANCERY_ALARMS_WEBHOOK": "https://b.example/"})
    assert direct.read_webhook() == "https://b.example/"
    assert [way.name for way in configured_ways(direct)] == ["log", "webhook", "command"]


def test_webhook_that_is_refused_is_not_repeated_since_it_may_be_a_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, GOOD + "[alarms]\nwebhook = 'http://x.example/?key=s3cret'\n")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        ("", {}, "token: is missing"),
        ("not toml", {}, "not TOML"),
        (GOOD + "colour = 'red'", {}, "token.colour: unknown key"),
        (GOOD + "[serivce]\nworkers = 1", {}, "serivce: unknown key"),
        (GOOD + "[service]\nworkers = 0", {}, "service.workers"),
        (GOOD + "[service]\nlisten = '8443'", {}, "service.listen: got '8443', expected host:port"),
        (GOOD + "pin = '1234'", {}, "token.pin: got '1234', expected file:PATH"),
        (GOOD, {"CHANCERY_SERVICE_LISTEN": "nowhere"}, "service.listen"),
        (GOOD + "[limits]\ncertificates_burst = 999", {}, "limits.certificates_burst"),
        (GOOD + "[limits]\nexempt = ['10.0.0.1/8']", {}, "limits.exempt"),
        (GOOD, {"CHANCERY_LIMITS_EXEMPT": "10.0.0.0/8, nobody"}, "limits.exempt"),
        (GOOD + "[alarms]\nwebhook = 'http://x.example/'", {}, "alarms.webhook: expected an https:// URL"),
        (GOOD + "[alarms]\npager = 'x'", {}, "alarms.pager: unknown key"),
        (GOOD, {"CHANCERY_LISTEN": "x"}, "CHANCERY_LISTEN is no setting"),
        (GOOD, {"CHANCERY_SERVICE_COLOUR": "red"}, "service.colour: unknown key"),
        (GOOD, {"CHANCERY_TOKEN_ENVIRONMENT": "A"}, "token.environment: expected NAME=VALUE"),
        (GOOD, {"CHANCERY_TOKEN_ATTESTATION": "x"}, "token.attestation: expected a whole number"),
        (GOOD, {"CHANCERY_TOKEN_ATTESTATION": "0x1"}, "token.attestation: expected 2147483648 or more"),
    ],
)
def test_what_is_wrong_is_said_with_table_and_key(
    tmp_path: Path, text: str, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text, **environment)
    assert said in str(raised.value)


def test_directory_without_a_configuration_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="chancery init"):
        load_config(tmp_path, {})


DOCUMENT = Path(__file__).parents[3] / "docs" / "leave.md"


def test_feed_of_the_document_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    load(tmp_path, example + GOOD)
    (feed,) = load_config(tmp_path, {}).leave.feeds
    assert (feed.name, feed.interval_s, feed.timeout_s, feed.timezone) == (
        "holidays",
        900,
        20,
        "Europe/Berlin",
    )
    assert feed.summary == "Leave: {person}"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('name = "a"\nfile = "a.ics"', "expected one of person, organizers"),
        ('name = "a"\nfile = "a.ics"\nperson = "ada"\nsummary = "{person}"', "expected one of person"),
        ('name = "a"\nperson = "ada"', "expected one of url and file"),
        ('name = "a"\nfile = "a.ics"\nsummary = "Leave"', "expected {person} in it"),
        ('name = "a"\nfile = "a.ics"\nperson = "ada"\ntimezone = "Middle/Earth"', "a time zone such as"),
        ('name = "a"\nfile = "a.ics"\nperson = "ada"\ntimeout = "1h"', "300"),
        ('name = "a"\nfile = "a.ics"\nperson = "ada"\ninterval = "soon"', "a duration such as"),
        ('name = "a"\nfile = "a.ics"\nperson = "ada"\ncolour = "red"', "unknown key"),
        ('name = "../a"\nfile = "a.ics"\nperson = "ada"', "name"),
    ],
)
def test_feed_that_is_none_is_refused(tmp_path: Path, keys: str, expected: str) -> None:
    load_text = f"[[leave.feed]]\n{keys}\n{GOOD}"
    with pytest.raises(ConfigError, match=expected):
        load(tmp_path, load_text)


def test_two_feeds_of_one_name_are_refused(tmp_path: Path) -> None:
    feed = '[[leave.feed]]\nname = "a"\nfile = "a.ics"\nperson = "ada"\n'
    with pytest.raises(ConfigError, match="two feeds have one name"):
        load(tmp_path, feed + feed + GOOD)
