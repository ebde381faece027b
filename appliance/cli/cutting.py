"""What commands that cut off have in common: they say what was live, since sessions may go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.cli.console import note, show_json, show_table
from appliance.errors import ConfigError


def show_cut(cut: Mapping[str, Any], *, as_json: bool) -> None:
    """Show what was cut off, and which certificates were live until then."""
    if as_json:
        show_json(cut)
        return
    note(f"on record as entry {cut['entry']}" if "entry" in cut else "it had been done before")
    if "warning" in cut:
        note(f"WARNING: {cut['warning']}")
    note(f"{cut['count']} certificates revoked, {cut['live_count']} of them were live")
    show_live(cut)


def show_live(cut: Mapping[str, Any]) -> None:
    """Show certificates that are live, or were until they were cut off, and what that means."""
    if cut.get("live"):
        rows = [
            (
                each.get("serial", f"entry {each['intent']}"),
                each["subject"],
                ", ".join(each.get("principals", ())),
                ", ".join(each.get("host_groups", ())),
                each["valid_before"],
            )
            for each in cut["live"]
        ]
        show_table(["serial:", "of:", "principals", "host groups", "until:"], rows, empty="")
    if cut.get("live_count", 0) > len(cut.get("live", ())):
        note(f"and {cut['live_count'] - len(cut['live'])} more")
    if "hosts" in cut:
        named = ", ".join(cut["hosts"][:10]) + (" …" if cut["host_count"] > 10 else "")
        note(
            f"{cut['host_count']} hosts keep certificates that were asked for by whom this is on: {named}; "
            "`chancery cert revoke --subject host:NAME --reason …` revokes those of one"
        )
    if "note" in cut:
        note(cut["note"])


def read_key(text: str) -> str:
    """Return a key that was given as a file; a fingerprint, or the key itself, as it is."""
    return text if text.startswith("SHA256:") or " " in text else read_line(Path(text))


def read_line(path: Path) -> str:
    """Read a file of one line, as a public key or a certificate has it.

    Raises:
        ConfigError: it has none, or several.
    """
    lines = [line for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    if len(lines) != 1:
        raise ConfigError(f"{path}: expected one line, as in an id_….pub file, got {len(lines)}")
    return lines[0].strip()


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in its place whole: sshd refuses everyone while it reads a list that is cut off."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)
