"""What questions to the index cost on a large ledger, and how fast the index is built.

Writes a ledger (scripts/bench_ledger.py), or makes that of a stopped service large; builds the index of it as
`chancery ledger rebuild-index` does; then asks each question many times, each time about something else, and
takes the time from opening a snapshot to the rendered answer. Machines differ and are noisy.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from bench_ledger import LOGINS, REGIONS, ROLES, Population, Size, say, write_ledger

from appliance.index.access import AccessQuery, find_access
from appliance.index.inspect import inspect_certificate
from appliance.index.queries import Index, Snapshot
from appliance.index.rebuild import build_index
from appliance.index.records import CertificateRecord
from appliance.index.render import render_access, render_certificate
from appliance.index.search import CertificateFilter, find_certificates
from audit.stores.sqlite import SqliteReader

LIMIT: Final = 100
WARM_UP: Final = 20

Question = Callable[[Snapshot, random.Random], object]


def main() -> None:
    """Write, build, measure, print a table, and write JSON if that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = Size()
    parser.add_argument("--certificates", type=int, default=usual.certificates)
    parser.add_argument("--hosts", type=int, default=usual.hosts)
    parser.add_argument("--grants", type=int, default=usual.grants)
    parser.add_argument("--samples", type=int, default=300, help="how often each question is asked")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="leave ledger.db in this directory; one of a stopped service is made large",
    )
    parser.add_argument("--ledger-only", action="store_true", help="with --keep: write it, measure nothing")
    arguments = parser.parse_args()
    size = Size(certificates=arguments.certificates, hosts=arguments.hosts, grants=arguments.grants)
    with tempfile.TemporaryDirectory(prefix="chancery-bench-") as scratch:
        directory = arguments.keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        write_ledger(directory / "ledger.db", size, int(time.time()))
        if arguments.ledger_only:
            return
        built = build(directory / "ledger.db", Path(scratch) / "index.db")
        index = Index(Path(scratch) / "index.db")
        measured = {"size": vars_of(size), "build": built}
        measured["questions"] = measure(index, Catalogue(index, size), arguments.samples)
    report(measured)
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=2) + "\n")


def vars_of(size: Size) -> dict[str, int]:
    """Return a size for JSON."""
    return {name: getattr(size, name) for name in size.__dataclass_fields__}


def build(ledger: Path, path: Path) -> dict[str, Any]:
    """Build the index; return how fast that was."""
    reader = SqliteReader(ledger)
    began, spent = time.monotonic(), time.process_time()
    built = build_index(path, lambda start, end: list(reader.entries(start, end)), reader.size())
    took, cpu = time.monotonic() - began, time.process_time() - spent
    reader.close()
    return {
        "entries": built.size,
        "seconds": took,
        "entries_per_s": built.size / took,
        "cpu_us_per_entry": cpu / built.size * 1e6,
        "megabytes": path.stat().st_size / 1e6,
        "state_hash": built.state_hash,
        "peak_rss_mb": _peak_rss_mb(),
    }


class Catalogue:
    """The questions, each about something else every time."""

    def __init__(self, index: Index, size: Size) -> None:
        self._population = Population(size)
        with index.snapshot() as snapshot:
            self._start_ms = snapshot.value("SELECT min(time_ms) FROM certificate")
            self._now_ms = snapshot.log().head_ms
            self._known = list(self._sample(snapshot))
        self._issued = [each.certificate for each in self._known if each.certificate is not None]

    def _sample(self, snapshot: Snapshot) -> Iterator[CertificateRecord]:
        """Yield certificates from all over the ledger."""
        for seq in range(snapshot.size // 400, snapshot.size, snapshot.size // 400):
            found = snapshot.value("SELECT seq FROM certificate WHERE seq >= ? LIMIT 1", seq)
            record = None if found is None else snapshot.certificate(str(1 << 48 | found))
            if record is not None:
                yield record

    def questions(self) -> dict[str, Question]:
        """Return all questions by what they are called."""
        groups = [f"bench-{role}-{region}" for role in ROLES for region in REGIONS]
        hosts = self._population.hosts
        users = [f"oidc:user-{number}" for number in range(self._population.size.users)]
        found: dict[str, Question] = {
            "certificates by subject": self._search(lambda draw: {"subject": draw.choice(users)}),
            "by a service with a tenth of all": self._search(lambda _draw: {"subject": "oidc:pipeline"}),
            "by key id": self._search(lambda draw: {"key_id": self._any(draw).key_id}),
            "by principal": self._search(
                lambda draw: {"principal": f"{draw.choice(LOGINS)}@{draw.choice(groups)}"}
            ),
            "by host": self._search(lambda draw: {"host": draw.choice(hosts)}),
            "by customer": self._search(lambda _draw: {"customer": "acme"}),
            "by fingerprint": self._search(lambda draw: {"fingerprint": self._any(draw).key_fingerprint}),
            "by time": self._search(
                lambda draw: {"since_ms": self._past(draw), "until_ms": self._now_ms - 3_600_000}
            ),
            "by type": self._search(lambda _draw: {"type": "host"}),
        }
        for state in ("pending", "active", "expired", "revoked", "failed"):
            found[f"by state {state}"] = self._search(lambda _draw, state=state: {"state": state})
        found["by subject, principal, state and time"] = self._search(
            lambda draw: {
                "subject": draw.choice(users),
                "principal": f"{draw.choice(LOGINS)}@{draw.choice(groups)}",
                "state": "expired",
                "since_ms": self._past(draw),
            }
        )
        found["a service's active ones"] = self._search(
            lambda _draw: {"subject": "oidc:pipeline", "state": "active"}
        )
        found["certificate by serial"] = lambda snapshot, draw: render_certificate(
            snapshot.certificate(self._any(draw).serial), self._now_ms // 1000
        )
        found["inspect"] = lambda snapshot, draw: inspect_certificate(
            snapshot, draw.choice(self._issued), self._now_ms // 1000
        )
        for basis in ("certificates", "policy"):
            for when in ("now", "then"):
                found |= self._access(basis, when, groups, hosts, users)
        return found

    def _access(
        self, basis: Any, when: str, groups: list[str], hosts: list[str], users: list[str]
    ) -> dict[str, Question]:
        named: dict[str, Callable[[random.Random], dict[str, str]]] = {
            "host": lambda draw: {"host": draw.choice(hosts)},
            "host and login": lambda draw: {"host": draw.choice(hosts), "login": draw.choice(LOGINS)},
            "host group": lambda draw: {"host_group": draw.choice(groups)},
            "subject": lambda draw: {"subject": draw.choice(users)},
            "login": lambda draw: {"login": draw.choice(LOGINS)},
            "everything": lambda _draw: {},
        }

        def question(make: Callable[[random.Random], dict[str, str]]) -> Question:
            def ask(snapshot: Snapshot, draw: random.Random) -> object:
                at_ms = self._now_ms if when == "now" else self._past(draw)
                query = AccessQuery(at_ms=at_ms, basis=basis, **make(draw))
                return render_access(find_access(snapshot, query, limit=LIMIT), basis)

            return ask

        return {f"access by {basis}, {name}, {when}": question(make) for name, make in named.items()}

    def _search(self, make: Callable[[random.Random], dict[str, Any]]) -> Question:
        def ask(snapshot: Snapshot, draw: random.Random) -> object:
            now_s = self._now_ms // 1000
            wanted = CertificateFilter(**make(draw))
            page = find_certificates(snapshot, wanted, now_s=now_s, cursor=None, limit=LIMIT)
            return [render_certificate(record, now_s) for record in page.certificates]

        return ask

    def _any(self, draw: random.Random) -> CertificateRecord:
        return draw.choice(self._known)

    def _past(self, draw: random.Random) -> int:
        return draw.randint(self._start_ms, self._now_ms)


def measure(index: Index, catalogue: Catalogue, samples: int) -> dict[str, dict[str, float]]:
    """Ask every question many times; return p50, p99 and the CPU's share of each in milliseconds."""
    measured = {}
    draw = random.Random(2)
    for name, question in catalogue.questions().items():
        took, spent = [], []
        for _ in range(WARM_UP + samples):
            began, cpu = time.perf_counter(), time.thread_time()
            with index.snapshot() as snapshot:
                question(snapshot, draw)
            took.append((time.perf_counter() - began) * 1000)
            spent.append((time.thread_time() - cpu) * 1000)
        cuts = statistics.quantiles(took[WARM_UP:], n=100)
        measured[name] = {
            "p50_ms": cuts[49],
            "p99_ms": cuts[98],
            "cpu_ms": statistics.median(spent[WARM_UP:]),
        }
        say(f"{name}: {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms, {measured[name]['cpu_ms']:.2f} ms of CPU")
    return measured


def report(measured: dict[str, Any]) -> None:
    """Print what was measured."""
    built, questions = measured["build"], measured["questions"]
    print(
        f"\n{built['entries']} entries in {built['seconds']:.0f} s: {built['entries_per_s']:.0f} a second, "
        f"{built['cpu_us_per_entry']:.0f} us of CPU for each; {built['megabytes']:.0f} MB, "
        f"peak memory {built['peak_rss_mb']:.0f} MB\n"
    )
    width = max(map(len, questions))
    print(f"{'':<{width}}  {'p50 ms':>8}  {'p99 ms':>8}  {'CPU ms':>8}")
    for name, found in questions.items():
        print(f"{name:<{width}}  {found['p50_ms']:>8.2f}  {found['p99_ms']:>8.2f}  {found['cpu_ms']:>8.2f}")


def _peak_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
