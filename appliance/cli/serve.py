"""``chancery serve``."""

from __future__ import annotations

import sys

import click

from appliance.cli.console import Shell, examples, pass_shell, plain_errors
from appliance.confinement import confine
from appliance.logs import set_up_logging
from appliance.supervisor import supervise
from hsm.pin import Pin

_PARTS = ("authority", "index", "web")


@click.command(
    epilog=examples("chancery serve", "chancery serve authority    # one process, as a systemd unit runs it")
)
@click.argument("part", required=False, type=click.Choice(_PARTS))
@pass_shell
@plain_errors
def serve(shell: Shell, part: str | None) -> None:
    """Run the service: authority, index and web tier, watched and started again when one ends.

    PART runs one of the three alone. Stop with SIGTERM or ^C.
    """
    set_up_logging(part or "serve")
    config = shell.config()
    if part is None:
        sys.exit(supervise(config))
    confine()
    if part == "authority":
        from appliance.authority.process import run_authority  # noqa: PLC0415 - each loads its own only

        pin = None
        if config.token.pin == "prompt" and not sys.stdin.isatty():
            pin = Pin(sys.stdin.readline().rstrip("\n"))
        sys.exit(run_authority(config, pin=pin))
    if part == "index":
        from appliance.index.process import run_index  # noqa: PLC0415

        sys.exit(run_index(config))
    from appliance.web.process import run_web  # noqa: PLC0415

    sys.exit(run_web(config))
