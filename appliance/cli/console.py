"""What every command shares: where the data is, how results are shown, how errors end.

Results go to standard output, as tables on a terminal or as JSON with ``--json``; everything else goes to
standard error. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the service does not run.
(``ledger verify`` has its own: 0 verified, 1 tampered, 2 inconclusive, 3 usage.)
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from appliance.authority.transport.client import AuthorityClient
from appliance.config import Config, load_config
from appliance.errors import ChanceryError, Refusal
from appliance.index.queries import DEFAULT_PAGE, MAX_PAGE, Index, Snapshot
from audit.errors import LedgerError
from hsm.errors import HsmError

EXIT_FAILED: Final = 1
EXIT_NOT_RUNNING: Final = 3

# Words that say how something is, wherever they are a whole cell.
_STYLES: Final = {
    **dict.fromkeys(("active", "issued", "ok", "signing", "valid", "verified"), "green"),
    **dict.fromkeys(("pending", "trusted", "created", "warning"), "yellow"),
    **dict.fromkeys(("abandoned", "failed", "halted", "not valid", "problem", "revoked"), "red"),
    **dict.fromkeys(("expired", "retired"), "dim"),
}

P = ParamSpec("P")


@dataclass(slots=True)
class Shell:
    """What a command is given: the data directory, and whether somebody has named it."""

    data: Path
    named: bool = True

    def config(self) -> Config:
        """Read the configuration."""
        return load_config(self.data)

    def ask(self, op: str, **args: Any) -> Any:
        """Ask the running authority, as the user that runs the command.

        Raises:
            Refusal: the authority's, or ``ledger-unavailable``: it does not run.
        """
        client = AuthorityClient(self.config().admin_socket)
        try:
            return client.call(op, **args)
        finally:
            client.close()

    def index(self) -> Index:
        """Return the index, whether there is one yet or not."""
        return Index(self.config().index)

    @contextmanager
    def look(self) -> Iterator[Snapshot]:
        """Open the index at its present state, which needs no running service but a built index.

        Raises:
            IndexUnavailable: there is none.
        """
        with self.index().snapshot() as snapshot:
            yield snapshot


pass_shell = click.make_pass_decorator(Shell)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def page_options(command: Callable[P, None]) -> Callable[P, None]:
    """Add the options that say which part of a list is wanted."""
    limit = click.option(
        "--limit", type=click.IntRange(1, MAX_PAGE), default=DEFAULT_PAGE, show_default=True, help="How many."
    )
    return limit(click.option("--cursor", help="From an earlier page's end.")(command))


def note_more(cursor: str | None) -> None:
    """Say that a list goes on."""
    if cursor is not None:
        note(f"there are more: --cursor {cursor}")


def examples(*lines: str) -> str:
    """Return the end of a command's help: examples, which are not to be wrapped."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def note(text: str) -> None:
    """Tell the person at the terminal something that is not the result; much of it others wrote."""
    click.echo("\n".join(map(_printable, text.split("\n"))), err=True)


def show_json(value: object) -> None:
    """Print a result for a program."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print a table for a person; columns that end in a colon are identifiers and are never wrapped."""
    listed = [[str(cell) for cell in row] for row in rows]
    if not listed:
        click.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.removesuffix(":"), no_wrap=column.endswith(":"), overflow="fold")
    for row in listed:
        # As Text, since a cell may be what someone else wrote: it is no markup, and moves no cursor.
        table.add_row(*(Text(_printable(cell), style=_STYLES.get(cell, "")) for cell in row))
    # A pipe gets whole lines: what reads them is a program or a pager, not a window. Colour is for terminals,
    # and rich leaves it out where NO_COLOR is set.
    Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 400).print(table)


def show_fields(fields: Mapping[str, object]) -> None:
    """Print one thing, a line for each of its fields."""
    width = max(map(len, fields))
    for name, value in fields.items():
        lines = [_printable(line) for line in str(value).splitlines()] or [""]
        click.echo(f"{name:<{width}}  {lines[0]}")
        for line in lines[1:]:
            click.echo(f"{'':<{width}}  {line}")


def show_progress(what: str, unit: str = "entries") -> Callable[[int, int], None]:
    """Return what reports how far long work is; on a terminal only, so that logs stay readable."""
    if not sys.stderr.isatty():
        return lambda _done, _total: None

    def report(done: int, total: int) -> None:
        percent = 100 * done // max(total, 1)
        click.echo(f"\r{what}: {done} of {total} {unit} ({percent} %)", err=True, nl=done >= total)

    return report


def _printable(text: str) -> str:
    """Escape what would be an order to the terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def show_revoked(what: Mapping[str, object], done: Mapping[str, Any], *, as_json: bool) -> None:
    """Show that something is revoked: by the entry that says so, or by an earlier one."""
    if as_json:
        show_json(
            {**what, "revoked": True, **({"entry": done["seq"]} if "seq" in done else {"already": True})}
        )
    else:
        note(f"on record as entry {done['seq']}" if "seq" in done else "it had been revoked before")


def plain_errors(command: Callable[P, None]) -> Callable[P, None]:
    """End a command with one clear line for everything that can be expected to go wrong."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except Refusal as refusal:
            _fail(
                _describe(refusal), EXIT_NOT_RUNNING if refusal.slug == "ledger-unavailable" else EXIT_FAILED
            )
        except (ChanceryError, HsmError, LedgerError) as error:
            _fail(str(error), EXIT_FAILED)
        except BrokenPipeError:
            sys.exit(EXIT_FAILED)
        except OSError as error:
            _fail(str(error), EXIT_FAILED)

    return run


def _describe(refusal: Refusal) -> str:
    lines = [refusal.detail]
    if allowed := refusal.members.get("allowed"):
        lines.append(f"your grants allow: {', '.join(map(str, _as_list(allowed)))}")
    if wait_s := refusal.members.get("retry_after_s"):
        lines.append(f"try again in {wait_s} s")
    lines += [str(problem) for problem in _as_list(refusal.members.get("problems"))[1:]]
    return "\n".join(lines)


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _fail(message: str, code: int) -> None:
    note(f"error: {message}")
    sys.exit(code)
