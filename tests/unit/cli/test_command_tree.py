"""Every command, from the tree that click knows: help, examples, JSON, and a place in docs/cli.md."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest
from click.testing import CliRunner

from appliance.cli.completion import PROGRAM
from appliance.cli.main import main

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "cli.md"
# What shows no result: a service that runs until it is stopped, a script for a shell, and what becomes ssh.
WITHOUT_JSON: Final = {"serve", "completion", "ssh"}


def walk(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))


COMMANDS: Final = dict(walk(main))
LEAVES: Final = {path: each for path, each in COMMANDS.items() if not isinstance(each, click.Group)}


def options(command: click.Command) -> dict[str, click.Option]:
    return {each.opts[0]: each for each in command.params if isinstance(each, click.Option)}


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_command_says_what_it_does(path: str) -> None:
    text = COMMANDS[path].help
    assert text
    assert text.split("\n")[0].rstrip().endswith((".", ":"))


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_command_shows_how_it_is_used_and_explains_every_option(path: str) -> None:
    shown = CliRunner().invoke(main, [*path.split(), "--help"], prog_name=PROGRAM)
    assert shown.exit_code == 0
    assert f"Usage: {PROGRAM} {path}" in shown.output
    examples = shown.output.split("Examples:\n")[1].splitlines()
    assert all(line.startswith("  ") for line in examples if line)
    assert any(f"{PROGRAM} " in line and path.rsplit(maxsplit=1)[-1] in line for line in examples)
    assert [name for name, option in options(LEAVES[path]).items() if not option.help] == []


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_command_speaks_to_programs_too(path: str) -> None:
    assert ("--json" in options(LEAVES[path])) is (path not in WITHOUT_JSON)


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_examples_name_options_that_there_are(path: str) -> None:
    """An example that is another command's is that one's to check."""
    epilog = (LEAVES[path].epilog or "").replace("\\\n", " ")
    known = {name for each in (LEAVES[path], main) for option in each.params for name in option.opts}
    for line in epilog.splitlines():
        if f"{path} " in f"{line} ":
            used = re.findall(r"(?<![\w-])--[a-z][a-z-]*", line.split("#")[0])
            assert set(used) <= known, line


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_command_is_in_the_document(path: str) -> None:
    assert f"`{path}" in DOCUMENT.read_text()


def test_document_names_no_command_that_there_is_not() -> None:
    rows = re.findall(r"^\| `([a-z-]+(?: [a-z-]+)*)", DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) == len(LEAVES)
    assert set(rows) == set(LEAVES)


def test_exit_codes_are_told_by_the_help_and_by_the_document() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    told = shown.split("Exit codes:")[1]
    for code, meaning in (("0", "done"), ("1", "refused"), ("2", "wrong usage"), ("3", "does not run")):
        assert re.search(rf"^ +{code}  .*{meaning}", told, re.MULTILINE)
        assert re.search(rf"^\| {code} \| .*{meaning}", DOCUMENT.read_text(), re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_that_shell(shell: str) -> None:
    script = CliRunner().invoke(main, ["completion", shell]).output
    assert f"_CHANCERY_COMPLETE={shell}_complete" in script


def test_bash_completes_commands_with_the_script(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = CliRunner().invoke(main, ["completion", "bash"]).output
    (tmp_path / "completion").write_text(script)
    ask = (
        ". ./completion; COMP_WORDS=(chancery ledger re); COMP_CWORD=2; "
        '_chancery_completion chancery; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [bash, "-c", ask],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
    )
    assert done.stdout.split() == ["rebuild-index"]


@pytest.mark.parametrize(("arguments", "code"), [(["ca", "list", "--colour"], 2), (["nothing"], 2)])
def test_wrong_usage_is_exit_2(arguments: list[str], code: int) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == code
