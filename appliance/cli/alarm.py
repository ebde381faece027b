"""``chancery alarm``."""

from __future__ import annotations

import click

from appliance.alarms.positions import FILE_NAME, read_positions
from appliance.alarms.records import count_from, last_alarms
from appliance.cli.console import (
    Shell,
    examples,
    json_option,
    note,
    pass_shell,
    plain_errors,
    show_json,
    show_table,
)
from appliance.cli.sight import require_all
from appliance.clock import format_rfc3339
from appliance.index.queries import DEFAULT_PAGE, MAX_PAGE


@click.group()
def alarm() -> None:
    """Alarms: what somebody should have been told of at once, and whether he was."""


@alarm.command("list", epilog=examples("chancery alarm list", "chancery alarm list --limit 10 --json"))
@click.option(
    "--limit", type=click.IntRange(1, MAX_PAGE), default=DEFAULT_PAGE, show_default=True, help="How many."
)
@json_option
@pass_shell
@plain_errors
def list_(shell: Shell, limit: int, as_json: bool) -> None:
    """List the newest alarms, and how many each way has still to bring."""
    positions = read_positions(shell.config().index_directory / FILE_NAME)
    with shell.look() as snapshot:
        require_all(snapshot)
        found, origin, size = last_alarms(snapshot, limit), snapshot.log().origin, snapshot.size
        waiting = {way: count_from(snapshot, each.next_seq) for way, each in positions.items()}
    if as_json:
        alarms = [each.render(origin) for each in found]
        show_json({"alarms": alarms, "waiting": waiting, "ledger_size": size})
        return
    rows = [
        (each.seq, format_rfc3339(each.time_ms // 1000), each.severity, each.event, each.summary)
        for each in found
    ]
    show_table(["entry:", "time:", "severity:", "event:", "what"], rows, empty="no alarm")
    for way, count in waiting.items():
        if count:
            note(f"{count} are not delivered yet by {way}: see the log of the index process")
