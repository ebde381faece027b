"""``chancery ledger``. Verification needs no running service, no token and no PIN."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from appliance.authority.transport.client import AuthorityClient
from appliance.cli.console import (
    Shell,
    examples,
    json_option,
    note,
    pass_shell,
    plain_errors,
    show_fields,
    show_json,
    show_progress,
)
from appliance.cli.sight import is_shown
from appliance.cli.values import SERIAL
from appliance.errors import ConfigError, Refusal
from appliance.evidence.verify import EvidenceReport, verify_evidence
from appliance.index.prove import prove
from appliance.index.rebuild import ReadEntries, rebuild_index
from audit.checkpoint import parse_checkpoint
from audit.note import parse_note
from audit.stores.sqlite import SqliteReader
from audit.tiles import TileReader, TileWriter, export_ledger
from audit.verifier import Report, SqliteSource, TilesSource, UsageError, verify_bundle

EXIT_USAGE = 3
# As a shell says of what ^C has ended.
EXIT_INTERRUPTED = 130
VKEY_FILE = "ledger.vkey"
_FETCH_TIMEOUT_S = 30.0

Progress = Callable[[int, int], None]


class _Judging(click.Command):
    """A command whose exit codes are verdicts: whatever ends it without one must not look like one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; wrong ones end it with 3, where click's 2 would mean: inconclusive."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.show()
            ctx.exit(EXIT_USAGE)

    def invoke(self, ctx: click.Context) -> None:
        """Run it; what it could not read ends it with 3, where 1 would mean: tampered."""
        try:
            super().invoke(ctx)
        except click.UsageError as error:
            error.show()
            ctx.exit(EXIT_USAGE)
        except SystemExit:
            ctx.exit(EXIT_USAGE)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)


@click.group()
def ledger() -> None:
    """The ledger: verify it, prove a certificate, export it all, derive the index anew."""


@ledger.command(
    cls=_Judging,
    epilog=examples(
        "chancery ledger verify",
        "chancery ledger verify export/ --key 'ca.example.org/log/1+…' --earlier checkpoint-of-may",
        "chancery ledger verify certificate.tlog-proof",
    ),
)
@click.argument("source", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--key", help="The ledger key, as you have it from elsewhere; default: ledger.vkey.")
@click.option(
    "--earlier",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A checkpoint from before, which the log must extend: what shows a truncation.",
)
@json_option
@pass_shell
@plain_errors
def verify(shell: Shell, source: Path | None, key: str | None, earlier: Path | None, as_json: bool) -> None:
    """Verify the ledger, an export (a directory), or one proof (a file).

    Exit codes: 0 verified, 1 tampered, 2 inconclusive (evidence is missing), 3 usage, or nothing to read.
    """
    # An empty key is one that somebody meant to give: another in its place would be believed as his.
    pinned = _read_pinned(shell) if key is None else key
    try:
        if source is not None and source.is_file() and source.suffix not in {".db", ".sqlite"}:
            report = verify_bundle(source.read_text("utf-8", "replace"), pinned)
            if as_json:
                click.echo(report.to_json())
            else:
                _show_bundle(report, pinned)
            click.get_current_context().exit(report.verdict)
        checkpoint = None if earlier is None else earlier.read_text("utf-8", "replace")
        with _open_source(shell, source) as opened:
            found = verify_evidence(
                opened, pinned_key=pinned, earlier=checkpoint, on_progress=show_progress("verifying")
            )
    except UsageError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_USAGE)
    if as_json:
        click.echo(found.to_json())
    else:
        _show(found, pinned, own=key is None)
    click.get_current_context().exit(found.verdict)


@ledger.command(epilog=examples("chancery ledger proof 281474976710673 > certificate.tlog-proof"))
@click.argument("serial", type=SERIAL)
@json_option
@pass_shell
@plain_errors
def proof(shell: Shell, serial: str, as_json: bool) -> None:
    """Print the proof that the certificate SERIAL is in the log (c2sp.org/tlog-proof)."""
    with shell.look() as snapshot:
        record = snapshot.certificate(serial)
        shown = record is not None and is_shown(snapshot, "certificate.read", record.customer)
    if record is None or not shown:
        raise Refusal("not-found", f"no certificate with the serial {serial} is on record")
    text = prove(TileReader(shell.config().tiles), record.seq)
    if as_json:
        show_json({"serial": serial, "entry": record.seq, "proof": text})
    else:
        click.echo(text, nl=False)


@ledger.command(epilog=examples("chancery ledger checkpoint > checkpoint-of-today"))
@json_option
@pass_shell
@plain_errors
def checkpoint(shell: Shell, as_json: bool) -> None:
    """Print the newest checkpoint. Keep some elsewhere: a truncated ledger is measured against them."""
    note_text = TileReader(shell.config().tiles).checkpoint()
    if not as_json:
        click.echo(note_text, nl=False)
        return
    found = parse_checkpoint(parse_note(note_text).text)
    show_json({"origin": found.origin, "size": found.size, "root": found.root.hex(), "checkpoint": note_text})


@ledger.command(epilog=examples("chancery ledger export /srv/log    # again later, and it is continued"))
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@json_option
@pass_shell
@plain_errors
def export(shell: Shell, directory: Path, as_json: bool) -> None:
    """Export the whole log as static files (c2sp.org/tlog-tiles), up to its newest checkpoint."""
    progress = show_progress("exporting")
    if not _fetch(shell, directory, progress):
        reader = SqliteReader(shell.config().ledger)
        try:
            export_ledger(reader, directory, progress)
        finally:
            reader.close()
    exported = TileReader(directory).published()
    if as_json:
        root = exported.root.hex()
        show_json({"directory": str(directory), "size": exported.size, "root": root})
    else:
        note(f"{directory}: {exported.size} entries")


@ledger.command("rebuild-index", epilog=examples("chancery ledger rebuild-index"))
@json_option
@pass_shell
@plain_errors
def rebuild(shell: Shell, as_json: bool) -> None:
    """Build the index anew from the ledger, and print the hash of its state.

    Beside a running service the entries come from the authority, and what is asked meanwhile is answered from
    the old index. The same ledger gives the same hash, here and elsewhere.
    """
    config = shell.config()
    with _open_entries(shell) as (read, size):
        built = rebuild_index(config.index, read, size, show_progress("building"))
    if as_json:
        show_json({"ledger_size": built.size, "state_hash": built.state_hash})
    else:
        show_fields({"entries": built.size, "state hash": built.state_hash})


@contextmanager
def _open_entries(shell: Shell) -> Iterator[tuple[ReadEntries, int]]:
    """Open the ledger's entries: those of the authority if it runs, else those of the file."""
    client = AuthorityClient(shell.config().admin_socket)
    try:
        size = client.call("entries", start=2**52, wait_s=0)["size"]
    except Refusal as refusal:
        if refusal.slug != "ledger-unavailable":
            raise
        reader = SqliteReader(shell.config().ledger)
        try:
            yield lambda start, end: list(reader.entries(start, end)), reader.size()
        finally:
            reader.close()
        return
    try:

        def read(start: int, end: int) -> list[bytes]:
            reply = client.call("entries", start=start, wait_s=0, timeout_s=_FETCH_TIMEOUT_S)
            entries: list[bytes] = reply["entries"][: end - start]
            return entries

        yield read, size
    finally:
        client.close()


def _read_pinned(shell: Shell) -> str | None:
    try:
        return (shell.data / VKEY_FILE).read_text("utf-8").strip()
    except OSError:
        return None


@contextmanager
def _open_source(shell: Shell, source: Path | None) -> Iterator[SqliteSource | TilesSource]:
    """Open what is to be verified; beside a running service a copy that the authority gives."""
    if source is not None:
        with TilesSource(source) if source.is_dir() else SqliteSource(source) as opened:
            yield opened
        return
    with TemporaryDirectory(prefix="chancery-verify-") as directory:
        copy = Path(directory) / "copy"
        if _fetch(shell, copy, show_progress("reading")):
            with TilesSource(copy) as tiles:
                yield tiles
            return
    with SqliteSource(shell.config().ledger) as database:
        yield database


def _fetch(shell: Shell, directory: Path, progress: Progress) -> bool:
    """Copy the log through the authority, up to a checkpoint; say whether there is an authority to ask."""
    client = AuthorityClient(shell.config().admin_socket)
    try:
        newest = client.call("entries", start=2**52, wait_s=0)["checkpoint"]
    except Refusal as refusal:
        if refusal.slug != "ledger-unavailable":
            raise
        return False
    if newest is None:
        raise ConfigError("no checkpoint has been signed since the start; try again in a second")
    size, signed = newest
    writer = TileWriter.open(directory)
    while writer.size < size:
        reply = client.call("entries", start=writer.size, wait_s=0, timeout_s=_FETCH_TIMEOUT_S)
        writer.append(reply["entries"][: size - writer.size])
        progress(writer.size, size)
    writer.publish(signed)
    client.close()
    return True


def _show_bundle(report: Report, pinned: str | None) -> None:
    fields: dict[str, object] = {
        "verdict": report.verdict.name,
        "log": report.origin,
        "checkpoint": f"over {report.checkpoint_size} entries",
        "key": pinned or "none was given: whoever makes a proof can name another in it",
    }
    if report.findings:
        fields["findings"] = "\n".join(f"{each.code}: {each.message}" for each in report.findings)
    show_fields(fields)


def _show(found: EvidenceReport, pinned: str | None, *, own: bool) -> None:
    structure = found.structure
    fields: dict[str, object] = {
        "verdict": found.verdict.name,
        "log": structure.origin,
        "entries": f"{structure.size}, {structure.checkpoint_size} of them under a signed checkpoint",
        "root": structure.root,
        "key": pinned or "none was given: whoever rewrites the log can name another in it",
        "checked": ", ".join(f"{name} {count}" for name, count in found.checked.items() if count),
    }
    if pinned is not None and own:
        fields["note"] = f"the key is from {VKEY_FILE} beside the ledger; give yours with --key"
    listed: list[tuple[str, int | None, str]] = [
        (each.code, each.seq, each.message) for each in structure.findings
    ]
    listed += [(each.code, each.seq, each.message) for each in found.findings]
    if listed:
        fields["findings"] = "\n".join(
            f"{code}{'' if seq is None else f' at entry {seq}'}: {message}" for code, seq, message in listed
        )
    show_fields(fields)
