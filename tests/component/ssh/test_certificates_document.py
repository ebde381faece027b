"""Every command of docs/formats/certificates.md is run, and what it prints is what the document says."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path

from appliance.ssh.certificate import (
    decode_tbs,
    inspect_certificate_line,
    parse_certificate_line,
    verify_certificate,
)
from appliance.ssh.wire import Reader
from support.ssh_examples import certificate_content, issue, private_key

DOCUMENT = (Path(__file__).parents[3] / "docs" / "formats" / "certificates.md").read_text()
BLOCKS = re.findall(r"^```(sh|text)\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
OPTIONS = (("source-address", "10.8.0.0/16"),)


def stripped(text: str) -> list[str]:
    """Return the lines without the space that ssh-keygen leaves at their ends and editors take away."""
    return [line.rstrip() for line in text.splitlines()]


def test_commands_of_the_document_print_what_it_says_and_make_the_certificate(tmp_path: Path) -> None:
    commands = [text for language, text in BLOCKS if language == "sh"]
    printed = [text for language, text in BLOCKS if language == "text"]
    assert (len(commands), len(printed)) == (5, 3)
    done = subprocess.run(
        ["sh", "-e", "-c", "".join(commands)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert stripped(done.stdout) == stripped("".join(printed))
    made = parse_certificate_line((tmp_path / "id_ed25519-cert.pub").read_text())
    verify_certificate(made)
    assert made == issue(private_key("ed25519"), critical_options=OPTIONS)
    forged = inspect_certificate_line((tmp_path / "forged-cert.pub").read_text())
    assert forged.content.principals[0] == "alicf@acme-db"


def test_tbs_in_the_document_says_what_the_document_describes() -> None:
    encoded = re.search(r"> tbs <<'END'\n(.*?)END\n", DOCUMENT, re.DOTALL)
    assert encoded is not None
    assert decode_tbs(base64.b64decode(encoded[1])) == certificate_content(critical_options=OPTIONS)


def test_offsets_in_the_documents_table_are_those_of_the_example() -> None:
    table = [int(offset) for offset in re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)]
    reader = Reader(issue(private_key("ed25519"), critical_options=OPTIONS).blob)
    offsets = []
    for kind in "sssQIssQQsssss":  # struct's letters, and s for a string
        offsets.append(reader.offset)
        match kind:
            case "s":
                reader.string("field", 1000)
            case "Q":
                reader.uint64("field")
            case _:
                reader.uint32("field")
    reader.finish("certificate")
    assert table == offsets
