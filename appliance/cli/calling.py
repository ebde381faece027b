"""Who answers a command: authority and index of a data directory, or the service that one is logged in to.

Both answer as the routes of HTTP do, in JSON data. Over HTTPS one is who the login says, and sees what is his
own; on the machine itself ``local:<user>``, as :mod:`appliance.cli.sight` has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from appliance.authority.approving.answers import AnswerBody
from appliance.authority.approving.approving import ApprovalBody
from appliance.authority.cutting.leaving import LeaveBody
from appliance.cli.console import Shell
from appliance.cli.on_machine import OnMachine
from appliance.cli.over_https import NEW, OverHttps
from appliance.client.saved import load_login
from appliance.clock import now_s
from appliance.config import FILE_NAME, user_directory
from appliance.errors import ConfigError
from appliance.explanations import ExplainBody
from appliance.index.search import CertificateFilter


class Caller(Protocol):
    """Answers what people ask about themselves, and does what they may without an operator's signature."""

    def explain(self, body: ExplainBody) -> dict[str, Any]:
        """Explain an access, as ``GET /v1/access/explain`` does."""

    def list_approvals(self, *, past: bool, limit: int, cursor: str | None) -> dict[str, Any]:
        """List approvals, as ``GET /v1/approvals`` does."""

    def find_approval(self, seq: int) -> dict[str, Any]:
        """Return what an answer to the request ``seq`` has to say: as the authority's ``approval.show``."""

    def request_approval(self, body: ApprovalBody) -> dict[str, Any]:
        """Ask for approval, as ``POST /v1/approvals`` does."""

    def answer_approval(self, seq: int, body: AnswerBody) -> dict[str, Any]:
        """Answer, as ``POST /v1/approvals/{approval}`` does."""

    def list_leave(
        self, *, person: str | None, past: bool, pending: bool, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """List leave, as ``GET /v1/leave`` does."""

    def book_leave(self, body: LeaveBody, typed: Mapping[str, str]) -> dict[str, Any]:
        """Book leave, as ``POST /v1/leave`` does; ``typed`` are its days and their zone as typed."""

    def list_certificates(
        self, wanted: CertificateFilter, *, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """Search certificates, as ``GET /v1/certificates`` does."""

    def show_certificate(self, serial: str) -> dict[str, Any]:
        """Return all that is on record of a certificate."""


def find_caller(shell: Shell) -> Caller:
    """Return who is to be asked: the data directory if one is named or there, else where one is logged in.

    Raises:
        ConfigError: there is neither.
    """
    if shell.named or (shell.data / FILE_NAME).exists():
        return OnMachine(shell)
    login = load_login(user_directory())
    if login is None:
        raise ConfigError(
            f"there is no service on this machine (no {shell.data / FILE_NAME}), and nobody is logged in to "
            "one: `chancery login https://…`, or name a data directory with --data"
        )
    if login.expires_s <= now_s():
        raise ConfigError(f"the login has ended: {NEW}")
    return OverHttps(login)
