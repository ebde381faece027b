"""What people ask of an authority over months, drawn by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from appliance.authority.approving.answers import Decision
from appliance.identity.identity import Identity
from appliance.policy.values import PERMITS
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.keys import fingerprint, format_public_key_line
from support.acme import ACME
from support.authority import identity
from support.rehearsal import Rehearsal
from support.ssh_examples import public_key

HOURS: Final = ("mon-fri 08:00-18:00", "fri 22:00-06:00", "sat-sun 00:00-24:00", "mon-sun 06:30-07:30")
ZONES: Final = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")
DAYS: Final = ("2025-11-20", "2025-11-30", "2025-12-24", "2026-01-31", "2026-03-29")
PORTAL: Final = identity("portal", kind="service")
LOGINS: Final = ("deploy", "logs", "postgres")
PEOPLE: Final = ("alice", "bob", "dora")
REQUIREMENTS: Final = (
    "{ reason = true }",
    "{ mfa = true }",
    '{ max_auth_age = "12h" }',
    '{ key_types = ["ssh-ed25519"] }',
    '{ approvals = 1, approvers = ["crew"] }',
    '{ approvals = 1, approvers = ["crew"] }',
    '{ key_types = ["sk-ssh-ed25519@openssh.com"], verify = true }',
)
# From a minute to a week: hours open and shut, days pass, certificates expire.
STEPS_S: Final = (0, 1, 59, 600, 3_600, 7 * 3_600, 86_400, 7 * 86_400)


class Lifetime:
    """One history, by one seed."""

    def __init__(self, authority: Rehearsal, seed: int) -> None:
        self.authority = authority
        self._draw = random.Random(seed)
        self._asked: list[int] = []

    def live(self, steps: int) -> None:
        """Let so many things happen, with time between them."""
        happenings: list[tuple[Callable[[], object], int]] = [
            (self.ask, 100),
            (self.certify_host, 5),
            (self.apply, 5),
            (self.register, 3),
            (self.remove, 1),
            (self.revoke, 3),
            (self.lock, 2),
            (self.lift, 25),
            (self.book, 8),
            (self.cancel, 1),
            (self.seek_approval, 6),
            (self.answer, 8),
        ]
        acts, weights = zip(*happenings, strict=True)
        for act in self._draw.choices(acts, weights, k=steps):
            act()
            self.authority.advance(self._draw.choice(STEPS_S))

    def ask(self) -> object:
        """Have someone ask for something, often for what he may have, or his delegate ask for him."""
        if self._draw.random() < 0.2:
            return self.authority.ask(PORTAL, self._request(), on_behalf_of=self._who())
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

    def revoke(self) -> object:
        """Revoke what may be there or not."""
        key = fingerprint(public_key("ed25519", self._draw.randint(1, 3)))
        serials = [str(self.authority.state.serial(seq)) for seq in self.authority.state.certificates]
        named = [{"subject": f"mtls:{self._draw.choice(PEOPLE)}"}, {"key": key}]
        named += [{"serial": serial} for serial in serials[-3:]]
        return self.authority.revoke(**self._draw.choice(named))

    def lock(self) -> object:
        """Lock something."""
        key = fingerprint(public_key("ed25519", self._draw.randint(1, 3)))
        named: list[dict[str, str]] = [
            {"person": "alice"},
            {"identity": "mtls:bob"},
            {"service": "mtls:portal"},
            {"group": "crew"},
            {"group": "mtls:staff"},
            {"host": self._host()},
            {"key": key},
        ]
        if self._draw.random() < 0.05:  # seldom: nobody gets anything then
            named = [{"ca": "users"}]
        return self.authority.lock(**self._draw.choice(named))

    def lift(self) -> object:
        """Lift a lock, if one is in force."""
        seqs = sorted(self.authority.state.locks.in_force)
        return self.authority.lift(self._draw.choice(seqs)) if seqs else None

    def book(self) -> object:
        """Book leave that begins now or later."""
        starts_s = self.authority.now_s + self._draw.choice((0, 3_600, 86_400))
        ends_s = starts_s + self._draw.choice((600, 86_400, 5 * 86_400))
        return self.authority.book(self._draw.choice(("alice", "bob", "mtls:dora")), starts_s, ends_s)

    def cancel(self) -> object:
        """Cancel a leave or shorten it, if there is one."""
        known = sorted(self.authority.state.leaves, key=lambda leave: leave.seq)
        if not known:
            return None
        leave = self._draw.choice(known)
        ends_s = self._draw.choice((None, leave.ends_s - 60))
        return self.authority.cancel(leave.seq, ends_s)

    def seek_approval(self) -> object:
        """Ask for approval, often of a grant that requires some."""
        answer = self.authority.ask_approval(self._who(), self._draw.choice(("g0", "g1", "g2", "g3")))
        if isinstance(answer, tuple):
            self._asked.append(answer[0])
        return answer

    def answer(self) -> object:
        """Answer what somebody has asked, be it one's own or long over."""
        known = [seq for seq in self._asked if self.authority.state.approvals.get(seq) is not None]
        if not known:
            return None
        person, key = self._draw.choice((("alice", 8), ("bob", 9)))
        decision: Decision = self._draw.choice(("given", "given", "given", "refused"))
        lasts_s = self._draw.choice((60, 1_200, 40_000))
        return self.authority.answer_approval(self._draw.choice(known), person, key, decision, lasts_s)

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
        lines += [self._grant(number) for number in range(draw.randint(3, 6))]
        return "".join(lines)

    def _grant(self, number: int) -> str:
        draw = self._draw
        first, last = sorted(draw.sample(DAYS, 2))
        # Nobody of oidc ever asks; a grant that requires two factors is to be for somebody who can have them.
        person = f'users = ["mtls:{draw.choice(PEOPLE)}", "oidc:olga"]'
        who = draw.choice((person, 'groups = ["mtls:staff", "crew", "oidc:staff"]'))
        optional = [
            f'when = "s{draw.randint(0, 1)}"',
            f'from = "{first}"',
            f'until = "{last}"',
            'source = ["10.8.0.0/16"]',
            'force_command = "journalctl -f"',
            'delegates = ["mtls:portal"]',
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


_FIXED: Final = f"""{ACME}[[host_group]]
name = "all"
customer = "acme"
hosts = ["web-1.acme.example", "web-2.acme.example"]
[[group]]
name = "crew"
members = ["mtls:alice", "mtls:bob"]
[[person]]
name = "alice"
identities = ["mtls:alice", "oidc:alice"]
keys = ["{format_public_key_line(public_key("ed25519", 8))}"]
[[person]]
name = "bob"
identities = ["mtls:bob"]
keys = ["{format_public_key_line(public_key("ed25519", 9))}"]
[[operator]]
name = "carol"
keys = ["{format_public_key_line(public_key("ed25519", 7))}"]
identities = ["mtls:carol"]
roles = ["admin", "operator", "enroller", "auditor"]
"""
