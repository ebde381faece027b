"""``chancery ssh``, ``ssh-config`` and ``known-hosts``: how an engineer's own ssh comes to know all of it."""

from __future__ import annotations

import os
import shlex
import shutil
import string
import sys
from pathlib import Path
from typing import Final

import click

from appliance.cli.console import examples, json_option, note, plain_errors, show_json
from appliance.cli.login import choose_service, is_good, login
from appliance.client.known_hosts import FILE_NAME, fetch_known_hosts, kept_pattern, write_known_hosts
from appliance.client.saved import load_login
from appliance.client.service import ServiceClient
from appliance.config import user_directory
from appliance.errors import ConfigError
from appliance.identity.fetching import make_context

_OWN: Final = "~/.ssh/known_hosts"
# What ssh takes for a pattern, and no shell or configuration file for anything else.
_PATTERN: Final = frozenset(string.ascii_letters + string.digits + ".*?-_:[]!")
_ca_option = click.option(
    "--ca", type=click.Path(path_type=Path, exists=True), help="CAs of the service's TLS."
)
_url_argument = click.argument("url", required=False)


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "chancery ssh root@server-1.example.org",
        "chancery ssh -A root@server-1.example.org uptime",
        "chancery ssh --url https://ca.example.org root@server-1.example.org     # the first time",
    ),
)
@click.option("--url", help="The service; default: that of the last login.")
@_ca_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[SSH OPTIONS] HOST [COMMAND]")
@click.pass_context
@plain_errors
def ssh(context: click.Context, url: str | None, ca: Path | None, arguments: tuple[str, ...]) -> None:
    """Sign in if the ssh-agent has no certificate that lasts, and run ssh with what follows.

    Hosts are believed by the service's CAs, and by what ~/.ssh/known_hosts has. Exit codes are ssh's.
    """
    if not arguments:
        raise click.UsageError("say where: chancery ssh root@server-1.example.org")
    known = load_login(user_directory())
    if known is None or (url is not None and url.rstrip("/") != known.url) or not is_good(known):
        context.invoke(login, url=url, ca=ca)
    path = user_directory() / FILE_NAME
    if not path.exists():
        _refresh(url, ca)
    try:
        os.execvp("ssh", ["ssh", "-o", f"UserKnownHostsFile={_quote(path)} {_OWN}", *arguments])  # noqa: S606
    except OSError as error:
        raise ConfigError(f"ssh cannot be run: {error.strerror}") from error


@click.command(
    "ssh-config",
    epilog=examples(
        "chancery ssh-config '*.example.org' >> ~/.ssh/config",
        "chancery ssh-config '*.acme.example' '*.example.org' --url https://ca.example.org",
    ),
)
@click.argument("patterns", nargs=-1, required=True, metavar="HOSTS...")
@click.option("--url", help="The service; default: that of the last login.")
@json_option
@plain_errors
def ssh_config(patterns: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Print lines for ~/.ssh/config, by which plain ssh signs in before it connects to HOSTS.

    HOSTS are patterns as ssh has them. Nothing is written: that is for you to do.
    """
    for pattern in patterns:
        if not pattern or not set(pattern) <= _PATTERN:
            raise click.BadParameter(
                f"got {pattern!r}, expected one such as *.example.org", param_hint="HOSTS"
            )
    service, _ = choose_service(load_login(user_directory()), url, None)
    signs_in = f"{_program()} login --if-needed {shlex.quote(service)}"
    lines = [
        f"Host {' '.join(patterns)}",
        f"    UserKnownHostsFile {_quote(user_directory() / FILE_NAME)} {_OWN}",
        f'Match originalhost {",".join(patterns)} exec "{signs_in}"',
        "    # the exec signs in; there is nothing to set",
    ]
    if as_json:
        show_json({"url": service, "lines": lines})
    else:
        click.echo("\n".join(lines))


@click.command(
    "known-hosts",
    epilog=examples(
        "chancery known-hosts https://ca.example.org --pattern '*.example.org'",
        "chancery known-hosts --print >> ~/.ssh/known_hosts",
    ),
)
@_url_argument
@_ca_option
@click.option("--pattern", help="The hosts that are believed by it; default: as before, or else all.")
@click.option("--print", "only_print", is_flag=True, help="Print the lines, and write nothing.")
@json_option
@plain_errors
def known_hosts(
    url: str | None, ca: Path | None, pattern: str | None, only_print: bool, as_json: bool
) -> None:
    """Fetch the CAs of hosts from the service at URL, for ssh to know hosts by. Needs no login.

    They go into a file of their own, which `chancery ssh` and the lines of `ssh-config` read, and which each
    login writes anew.
    """
    directory = user_directory()
    chosen = kept_pattern(directory) if pattern is None else pattern
    if not chosen or not set(chosen) <= _PATTERN:
        raise click.BadParameter(
            f"got {chosen!r}, expected one such as *.example.org", param_hint="--pattern"
        )
    text = _fetch(url, ca, chosen)
    path = None if only_print else write_known_hosts(directory, text)
    if as_json:
        show_json({"file": None if path is None else str(path), "lines": text.splitlines()})
    elif path is None:
        click.echo(text, nl=False)
    else:
        note(f"{path}: {len(text.splitlines())} keys of CAs, for {chosen}")


def _fetch(url: str | None, ca: Path | None, pattern: str) -> str:
    service, ca_file = choose_service(load_login(user_directory()), url, ca)
    return fetch_known_hosts(ServiceClient(service, make_context(ca_file)), pattern)


def _refresh(url: str | None, ca: Path | None) -> None:
    write_known_hosts(user_directory(), _fetch(url, ca, kept_pattern(user_directory())))


def _program() -> str:
    """Return how the shell finds this program: by its name, or by its path where it is not on the way."""
    own = Path(sys.argv[0]).absolute()
    found = shutil.which("chancery")
    return "chancery" if found is not None and Path(found).absolute() == own else shlex.quote(str(own))


def _quote(path: Path) -> str:
    """Quote a path as ssh_config(5) has it."""
    return f'"{path}"'
