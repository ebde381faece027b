"""What is typed and is no text, no serial, no name: wrong usage, for every command alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from appliance.cli.console import plain_errors
from appliance.cli.main import main

NO_TEXT = b"\xff\xfe\x80".decode("utf-8", "surrogateescape")


def walk(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(walk(main))
TEXTS = [
    (path, param.name)
    for path, command in COMMANDS.items()
    for param in command.params
    if not isinstance(param.type, click.Choice | click.Path | click.types.IntParamType)
    and not getattr(param, "is_flag", False)
]


def run(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        main, ["--data", str(directory / "data"), *arguments], env={"XDG_CONFIG_HOME": str(directory)}
    )


def example(param: click.Parameter, directory: Path) -> str:
    """Return a value that the parameter takes."""
    if isinstance(param.type, click.Choice):
        return str(param.type.choices[0])
    if isinstance(param.type, click.Path):
        return str(directory / "file" if param.type.exists else directory / "new")
    return "1"


def arguments_for(command: click.Command, wrong: str | None, directory: Path) -> list[str]:
    """Return arguments for a command, with what is no text in the place of one of them."""
    options, places = [], []
    for param in command.params:
        if param.name != wrong and not param.required:
            continue
        value = NO_TEXT if param.name == wrong else example(param, directory)
        if isinstance(param, click.Argument):
            places.append([value] * max(1, param.nargs))
        else:
            options += [param.opts[0], value]
    return [*options, "--", *itertools.chain.from_iterable(places)]


@pytest.mark.parametrize(("path", "name"), TEXTS)
def test_what_is_not_utf8_is_wrong_usage(path: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = run(tmp_path, *path.split(), *arguments_for(COMMANDS[path], name, tmp_path))
    usage = 3 if path == "ledger verify" else 2  # whose 2 is a verdict
    assert (done.exit_code, type(done.exception)) == (usage, SystemExit), done.output
    assert "Invalid value for" in done.output


@pytest.mark.parametrize("serial", ["", "abc", "0", "-1", "9" * 21, "1e3", "\N{ARABIC-INDIC DIGIT ONE}"])
@pytest.mark.parametrize("command", ["cert show", "ledger proof"])
def test_what_is_no_serial_is_wrong_usage(command: str, serial: str, tmp_path: Path) -> None:
    done = run(tmp_path, *command.split(), "--", serial)
    assert (done.exit_code, "expected a serial" in done.output) == (2, True)


@pytest.mark.parametrize("name", ["", "Carol", "a b"])
def test_what_can_be_no_operators_name_is_wrong_usage_before_anyone_signs(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    order = ["host", "remove", "x.example", "--key", str(tmp_path / "file"), "--operator", name]
    done = run(tmp_path, *order)
    assert (done.exit_code, "lower-case letters" in done.output) == (2, True)


@pytest.mark.parametrize("command", ["check", "plan"])
def test_policy_that_is_not_utf8_is_named(command: str, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_bytes(b"version = 1 # caf\xe9\n")
    done = run(tmp_path, "policy", command, str(tmp_path / "policy.toml"))
    assert done.exit_code == 1
    assert "policy.toml: not UTF-8 at byte 17" in done.output


def test_text_that_cannot_be_written_ends_a_command_in_one_line() -> None:
    @click.command()
    @plain_errors
    def command() -> None:
        NO_TEXT.encode()

    done = CliRunner().invoke(command)
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert "not UTF-8" in done.output
