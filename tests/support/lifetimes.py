"""What people ask of an authority over months, drawn by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from appliance.identity.identity import Identity
from appliance.policy.values import PERMITS
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.keys import format_public_key_line
from support.authority import identity
from support.rehearsal import Rehearsal
from support.ssh_examples import public_key

HOURS: Final = ("mon-fri 08:00-18:00", "fri 22:00-06:00", "sat-sun 00:00-24:00", "mon-sun 06:30-07:30")
ZONES: Final = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")
DAYS: Final = ("2025-11-20", "2025-11-30", "2025-12-24", "2026-01-31", "2026-03-29")
LOGINS: Final = ("deploy", "logs", "postgres")
PEOPLE: Final = ("alice", "bob", "dora")
REQUIREMENTS: Final = (
    "{ reason = true }",
    "{ mfa = true }",
    '{ max_auth_age = "12h" }',
    '{ key_types = ["ssh-ed25519"] }',
    '{ key_types = ["sk-ssh-ed25519@openssh.com"], verify = true }',
)
# From a minute to a week: hours open and shut, days pass, certificates expire.
STEPS_S: Final = (0, 1, 59, 600, 3_600, 7 * 3_600, 86_400, 7 * 86_400)


class Lifetime:
    """One history, by one seed."""

    def __init__(self, authority: Rehearsal, seed: int) -> None:
        self.authority = authority
        self._draw = random.Random(seed)

    def live(self, steps: int) -> None:
        """Let so many things happen, with time between them."""
        happenings: list[tuple[Callable[[], object], int]] = [
            (self.ask, 60),
            (self.certify_host, 5),
            (self.apply, 5),
            (self.register, 3),
            (self.remove, 1),
        ]
        acts, weights = zip(*happenings, strict=True)
        for act in self._draw.choices(acts, weights, k=steps):
            act()
            self.authority.advance(self._draw.choice(STEPS_S))

    def ask(self) -> object:
        """Have someone ask for something, often for what he may have."""
        return self.authority.ask(self._who(), self._request())

    def certify_host(self) -> object:
        """Have the enroller ask for a host's certificate."""
        key = public_key("ed25519", self._draw.randint(1, 3))
        return self.authority.ask(identity("carol"), HostRequest(public_key=key, host=self._host()))

    def register(self) -> object:
        """Register a host, or register it anew."""
        return self.authority.add_host(self._host(), role=self._draw.choice(("web", "db")))

    def remove(self) -> object:
        """Remove a host, registered or not."""
        return self.authority.remove_host(self._host())

    def apply(self) -> object:
        """Put another policy in force."""
        return self.authority.apply(self._policy())

    def _host(self) -> str:
        return f"web-{self._draw.randint(1, 3)}.acme.example"

    def _who(self) -> Identity:
        fresh_ms = self.authority.now_ms - self._draw.choice((0, 3_600_000, 90_000_000))
        groups = frozenset({"mtls:staff"} if self._draw.random() < 0.5 else ())
        return identity(
            self._draw.choice((*PEOPLE, "mallory")),
            groups=groups,
            mfa=self._draw.random() < 0.5,
            authenticated_ms=fresh_ms,
        )

    def _request(self) -> UserRequest:
        draw = self._draw
        algorithm = draw.choice(("ed25519", "ed25519", "sk-ed25519", "nistp256"))
        named = draw.random() < 0.4
        return UserRequest(
            public_key=public_key(algorithm, draw.randint(1, 3)),
            hosts=(self._host(),) if draw.random() < 0.2 else (),
            logins=(draw.choice(LOGINS),) if named else (),
            grant=draw.choice(("g0", "g1", "g2")) if draw.random() < 0.2 else None,
            ttl_s=draw.choice((60, 600, 7_200)) if draw.random() < 0.3 else None,
            start_s=self.authority.now_s + draw.choice((60, 36_000)) if draw.random() < 0.2 else None,
            source=("10.0.0.0/8",) if draw.random() < 0.2 else None,
            permit=tuple(sorted(draw.sample(sorted(PERMITS), 1))) if draw.random() < 0.2 else None,
            reason="a ticket" if draw.random() < 0.5 else None,
        )

    def _policy(self) -> str:
        draw = self._draw
        lines = [_FIXED]
        for number in range(2):
            windows = ", ".join(f'"{hours}"' for hours in draw.sample(HOURS, draw.randint(1, 2)))
            holidays = 'holidays = "DE"\n' if draw.random() < 0.3 else ""
            lines.append(
                f'[[schedule]]\nname = "s{number}"\ntimezone = "{draw.choice(ZONES)}"\n'
                f"windows = [{windows}]\n{holidays}"
            )
        lines += [self._grant(number) for number in range(draw.randint(1, 4))]
        return "".join(lines)

    def _grant(self, number: int) -> str:
        draw = self._draw
        first, last = sorted(draw.sample(DAYS, 2))
        who = draw.choice((f'users = ["mtls:{draw.choice(PEOPLE)}"]', 'groups = ["mtls:staff", "crew"]'))
        optional = [
            f'when = "s{draw.randint(0, 1)}"',
            f'from = "{first}"',
            f'until = "{last}"',
            'source = ["10.8.0.0/16"]',
            'force_command = "journalctl -f"',
            'permit = ["pty", "agent-forwarding"]',
            f'ttl = "{draw.choice(("30m", "8h", "30h"))}"',
            f"require = {draw.choice(REQUIREMENTS)}",
        ]
        chosen = [line for line in optional if draw.random() < 0.35]
        return "\n".join(
            [
                "[[grant]]",
                f'name = "g{number}"',
                f"who = {{ {who} }}",
                f'on = ["{draw.choice(("web", "all"))}"]',
                f'as = ["{draw.choice(LOGINS)}"]',
                *chosen,
                "",
            ]
        )


_FIXED: Final = f"""
version = 1
[[customer]]
name = "acme"
user_ca = "users"
host_ca = "hosts"
[[host_group]]
name = "web"
customer = "acme"
match = {{ role = "web" }}
[[host_group]]
name = "all"
customer = "acme"
hosts = ["web-1.acme.example", "web-2.acme.example"]
[[group]]
name = "crew"
members = ["mtls:alice", "mtls:bob"]
[[person]]
name = "alice"
identities = ["mtls:alice", "oidc:alice"]
[[operator]]
name = "carol"
keys = ["{format_public_key_line(public_key("ed25519", 7))}"]
identities = ["mtls:carol"]
roles = ["admin", "operator", "enroller", "auditor"]
"""
