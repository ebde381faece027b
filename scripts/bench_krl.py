"""What a KRL of many serials costs, and how large it is, beside ``ssh-keygen -k`` in the same run.

Both get the same serials, drawn at random from so many that follow each other: close together they become
bitmaps, far apart a list. Measured is the CPU time of what the authority does on its thread, from the state's
sets to bytes: others may use the machine too.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

from appliance.authority.publishing.krl import CaSerials, KrlView, make_krl
from appliance.ssh.keys import fingerprint, format_public_key_line
from support.ssh_examples import public_key

ROUNDS: Final = 5
BASE: Final = 1 << 48
CA: Final = public_key("nistp256", 1)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--serials", type=int, default=100_000, help="how many are revoked")
    count = parser.parse_args().serials
    columns = f"{'CPU s':>9}{'ssh-keygen':>12}{'bytes':>10}{'ssh-keygen':>12}"
    print(f"\n{f'a KRL of {count} serials out of':32}{columns}")
    with tempfile.TemporaryDirectory(prefix="chancery-bench-") as directory:
        for spread in (2 * count, 10 * count, 1_000 * count, 2**40):
            measure(Path(directory), count, spread)


def measure(directory: Path, count: int, spread: int) -> None:
    """Print one line: serials drawn from so many, by both, in turns."""
    seqs = frozenset(random.Random(spread).sample(range(1, spread), count))
    view = make_view(seqs)
    (directory / "ca.pub").write_text(format_public_key_line(CA) + "\n")
    (directory / "spec").write_text("".join(f"serial: {BASE | seq}\n" for seq in seqs))
    theirs = directory / "theirs"
    command = ["ssh-keygen", "-q", "-k", "-f", theirs, "-s", directory / "ca.pub", directory / "spec"]
    ours_s, theirs_s = [], []
    for _ in range(ROUNDS):
        ours_s.append(seconds_of(lambda: make_krl(view)))
        theirs_s.append(seconds_of(lambda: subprocess.run(command, check=True, capture_output=True)))
    size, their_size = len(make_krl(view).krl), theirs.stat().st_size
    read = subprocess.run(["ssh-keygen", "-Q", "-l", "-f", theirs], check=False, capture_output=True)
    unread = "" if read.returncode == 0 else "   which OpenSSH cannot read"
    print(f"{spread:32}{median(ours_s):9.3f}{median(theirs_s):12.3f}{size:10}{their_size:12}{unread}")


def make_view(seqs: frozenset[int]) -> KrlView:
    """Return what the authority takes from its state for a KRL of these."""
    return KrlView(
        ca="users",
        ca_key=fingerprint(CA),
        origin="ca.example.org/log/1",
        log_number=1,
        size=2**41,
        now_s=int(time.time()),
        changes=1,
        certificates=(CaSerials(ca_key=CA, seqs=seqs, ranges=()),),
        keys=frozenset(),
    )


def seconds_of(act: Callable[[], object]) -> float:
    """Return the CPU time that something takes, in this process and in those that it runs."""
    began = _cpu_s()
    act()
    return _cpu_s() - began


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
