"""``chancery completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from appliance.cli.console import examples, plain_errors
from appliance.errors import ConfigError

PROGRAM = "chancery"
VARIABLE = "_CHANCERY_COMPLETE"


@click.command(
    epilog=examples(
        "chancery completion bash > /etc/bash_completion.d/chancery",
        'chancery completion zsh > "${fpath[1]}/_chancery"',
        "chancery completion fish > ~/.config/fish/completions/chancery.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@plain_errors
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options and values."""
    completer = get_completion_class(shell)
    if completer is None:
        raise ConfigError(f"there is no completion for {shell}")
    click.echo(completer(context.find_root().command, {}, PROGRAM, VARIABLE).source())
