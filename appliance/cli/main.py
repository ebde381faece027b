"""``chancery``: the group that all commands belong to."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from appliance.cli.access import access
from appliance.cli.alarm import alarm
from appliance.cli.approval import approval
from appliance.cli.ca import ca
from appliance.cli.cert import cert
from appliance.cli.completion import completion
from appliance.cli.console import Shell, examples
from appliance.cli.credential import credential
from appliance.cli.doctor import doctor
from appliance.cli.host import host
from appliance.cli.init import init
from appliance.cli.leave import leave
from appliance.cli.ledger import ledger
from appliance.cli.lock import lock
from appliance.cli.login import login, logout
from appliance.cli.operator import operator
from appliance.cli.order import order
from appliance.cli.policy import policy
from appliance.cli.serve import serve
from appliance.cli.ssh import known_hosts, ssh, ssh_config
from appliance.cli.status import status
from appliance.config import DEFAULT_DATA, default_data

_EPILOG = (
    "\b\n"
    "Exit codes:\n"
    "  0  done\n"
    "  1  refused, or failed; `cert inspect`: not on record; `status`: nothing is issued\n"
    "  2  wrong usage\n"
    "  3  the service does not run\n"
    "`ledger verify` has its own: 0 verified, 1 tampered, 2 inconclusive, 3 wrong usage.\n\n"
    "Results go to standard output, as tables or with --json as JSON, everything else to standard error. "
    "NO_COLOR turns colours off.\n\n"
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG
    + examples(
        "chancery init --origin ca.example.org --operator carol --key ~/.ssh/id_ed25519",
        "chancery serve",
        "chancery cert sign ~/.ssh/id_ed25519.pub --host db-7.acme.example --login postgres",
    ),
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_data,
    show_default="$CHANCERY_DATA or /var/lib/chancery",
    help="The data directory.",
)
@click.version_option(package_name="chancery", prog_name="chancery")
@click.pass_context
def main(context: click.Context, data: Path) -> None:
    """Chancery, an SSH certificate authority that does not sign off the record."""
    given = context.get_parameter_source("data") is ParameterSource.COMMANDLINE
    context.obj = Shell(data=data.absolute(), named=given or default_data() != DEFAULT_DATA)


for command in (
    init,
    serve,
    status,
    doctor,
    login,
    logout,
    ssh,
    ssh_config,
    known_hosts,
    ca,
    cert,
    policy,
    access,
    alarm,
    host,
    credential,
    lock,
    leave,
    approval,
    operator,
    order,
    ledger,
    completion,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
