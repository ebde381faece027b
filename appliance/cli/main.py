"""``chancery``: the group that all commands belong to."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.access import access
from appliance.cli.ca import ca
from appliance.cli.cert import cert
from appliance.cli.console import Shell
from appliance.cli.credential import credential
from appliance.cli.doctor import doctor
from appliance.cli.host import host
from appliance.cli.init import init
from appliance.cli.ledger import ledger
from appliance.cli.order import order
from appliance.cli.policy import policy
from appliance.cli.serve import serve
from appliance.cli.status import status
from appliance.config import default_data


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
    context.obj = Shell(data=data.absolute())


for command in (init, serve, status, doctor, ca, cert, policy, access, host, credential, order, ledger):
    main.add_command(command)

if __name__ == "__main__":
    main()
