"""Why Chancery is there: an engineer who looks after servers of two companies goes on vacation.

Each company has a CA of its own and trusts no other, and real sshds that nobody touches. Access to all of
them ends when the vacation begins and is back when it is over, without anybody acting.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.ordering.commands import CancelLeave
from appliance.ssh.keys import parse_public_key_line
from appliance.ssh.krl import Krl, RevokedCertificates, encode_krl
from appliance.ssh.serials import Range, merge_ranges
from support.ordering import give_order
from support.service import Service
from support.sshd import Sshd, running_sshd

# Times that are long enough for all that happens in them on a busy machine, and short enough to wait for.
BEFORE_S, AWAY_S = 10, 8
GROUPS = {"acme": "web", "globex": "globex-db"}


@dataclass(frozen=True)
class Fleet:
    """Two servers of each company, by company; vera's key, and the KRL of each company."""

    servers: dict[str, list[Sshd]]
    key: Path
    krls: dict[str, Path]

    def login(self, certificates: Sequence[dict[str, Any]]) -> dict[str, list[bool]]:
        """Try every server with its company's certificate, all at once; say which of them let vera in."""
        by_ca = {each["ca"].removesuffix("-users"): each["certificate"] for each in certificates}
        assert by_ca.keys() == self.servers.keys()
        for company, line in by_ca.items():
            self._file(company).write_text(f"{line}\n")
        places = [(company, server) for company, servers in self.servers.items() for server in servers]
        with ThreadPoolExecutor(len(places)) as pool:
            outcomes = list(pool.map(lambda place: self._try(*place), places))
        found: dict[str, list[bool]] = {company: [] for company in self.servers}
        for (company, _), let_in in zip(places, outcomes, strict=True):
            found[company].append(let_in)
        return found

    def _try(self, company: str, server: Sshd) -> bool:
        options = ("-oIdentitiesOnly=yes", "-oIdentityAgent=none", f"-oCertificateFile={self._file(company)}")
        return server.login(*options, f"-i{self.key}").returncode == 0

    def _file(self, company: str) -> Path:
        return self.key.with_name(f"{company}-cert.pub")


EVERYWHERE = {"acme": [True, True], "globex": [True, True]}
NOWHERE = {"acme": [False, False], "globex": [False, False]}


@pytest.fixture
def fleet(service: Service, tmp_path: Path) -> Iterator[Fleet]:
    key = tmp_path / "vera"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    krls = {company: tmp_path / f"{company}.krl" for company in GROUPS}
    servers: dict[str, list[Sshd]] = {company: [] for company in GROUPS}
    with ExitStack() as stack:
        for company, group in GROUPS.items():
            revoke(service, krls[company], company, [])
            for number in range(2):
                directory = tmp_path / f"{company}-{number}"
                (directory / "principals").mkdir(parents=True)
                (directory / "principals" / "root").write_text(f"root@{group}\n")
                (directory / "trusted").write_text(ca_key(service, company))
                config = {
                    "TrustedUserCAKeys": f"{directory}/trusted",
                    "AuthorizedPrincipalsFile": f"{directory}/principals/%u",
                    "RevokedKeys": str(krls[company]),
                }
                servers[company].append(stack.enter_context(running_sshd(directory, config)))
        yield Fleet(servers=servers, key=key, krls=krls)


def ca_key(service: Service, company: str) -> str:
    return service.http("GET", f"/v1/cas/{company}-users/public-key").body.decode()


def revoke(service: Service, path: Path, company: str, serials: list[int]) -> None:
    """Write a company's KRL, as its hosts fetch it."""
    key = parse_public_key_line(ca_key(service, company).splitlines()[0])
    ranges = merge_ranges(Range(serial, serial) for serial in sorted(serials))
    revoked = (RevokedCertificates(ca_key=key, ranges=ranges),) if ranges else ()
    path.write_bytes(encode_krl(Krl(version=1, generated_s=int(time.time()), certificates=revoked)))


def ask(service: Service, fleet: Fleet, **more: Any) -> Any:
    """Ask for vera's certificates, one of each company's CA."""
    body = {"public_key": fleet.key.with_suffix(".pub").read_text(), "grant": "engineer", **more}
    return service.http("POST", "/v1/certificates/user", body, as_="vera")


def book(service: Service, starts_s: int, ends_s: int) -> Any:
    times = {"starts": format_moment(starts_s), "ends": format_moment(ends_s)}
    reply = service.http("POST", "/v1/leave", {"person": "vera", **times}, as_="carol")
    assert reply.status == 201, reply.body
    return reply.json


def format_moment(moment_s: int) -> str:
    return datetime.fromtimestamp(moment_s, UTC).isoformat().replace("+00:00", "Z")


def sleep_until(moment_s: float) -> None:
    time.sleep(max(0.0, moment_s - time.time()))


def test_access_to_both_companies_ends_when_the_vacation_begins_and_is_back_when_it_is_over(
    service: Service, fleet: Fleet
) -> None:
    service.credential("vera")
    service.credential("carol")
    begins = int(time.time()) + BEFORE_S
    ends = begins + AWAY_S
    book(service, begins, ends)
    before = ask(service, fleet, ttl="50s").json["certificates"]
    assert {each["valid_before"] for each in before} == {format_moment(begins)}
    assert fleet.login(before) == EVERYWHERE
    marks = [(server, server.mark()) for servers in fleet.servers.values() for server in servers]

    sleep_until(begins + 0.05)
    assert fleet.login(before) == NOWHERE
    for server, mark in marks:
        server.logged("Certificate invalid: expired", since=mark)
    away = ask(service, fleet)
    assert (away.status, away.json["rule"]) == (403, "leave")
    assert time.time() < ends, "the machine was too slow for what is shown here"

    sleep_until(ends + 0.05)
    back = ask(service, fleet, ttl="50s").json["certificates"]
    assert {each["valid_after"] for each in back} == {format_moment(ends)}
    assert fleet.login(back) == EVERYWHERE


def test_vacation_that_is_booked_late_revokes_both_certificates_and_new_ones_are_good_after_it(
    service: Service, fleet: Fleet
) -> None:
    issued = ask(service, fleet).json["certificates"]
    assert fleet.login(issued) == EVERYWHERE
    now = int(time.time())
    booked = book(service, now, now + 86_400)
    assert {each["serial"] for each in issued} <= set(booked["revoked"])
    for offset, serial in enumerate(booked["revoked"], 1):
        entry = json.loads(service.entry(booked["leave"] + offset))
        assert (entry["kind"], entry["data"]["by"]) == ("certificate.revoked", booked["leave"])
        assert entry["data"]["serial"] == serial
    for company, krl in fleet.krls.items():
        revoke(service, krl, company, [int(serial) for serial in booked["revoked"]])
    assert fleet.login(issued) == NOWHERE
    assert ask(service, fleet).json["rule"] == "leave"

    give_order(service, CancelLeave(leave=booked["leave"]))
    again = ask(service, fleet).json["certificates"]
    assert fleet.login(again) == EVERYWHERE
    assert fleet.login(issued) == NOWHERE
