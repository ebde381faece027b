"""``chancery doctor``."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from appliance.cli.console import (
    EXIT_FAILED,
    Shell,
    examples,
    json_option,
    pass_shell,
    plain_errors,
    show_json,
    show_table,
)
from appliance.setup.doctor import examine


@click.command(epilog=examples("chancery doctor", "chancery doctor --json"))
@json_option
@pass_shell
@plain_errors
def doctor(shell: Shell, as_json: bool) -> None:
    """Check the host's set-up. Exit 1 if there is a problem; warnings are for you to judge."""
    findings = list(examine(shell.config()))
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        rows = [(finding.verdict, finding.check, finding.detail) for finding in findings]
        show_table(["verdict:", "check:", "detail"], rows, empty="nothing was checked")
    if any(finding.verdict == "problem" for finding in findings):
        sys.exit(EXIT_FAILED)
