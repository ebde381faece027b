"""Authority and index of a data directory, as :class:`~appliance.cli.calling.Caller` has it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from appliance.authority.approving.answers import AnswerBody
from appliance.authority.approving.approving import ApprovalBody
from appliance.authority.cutting.leaving import LeaveBody
from appliance.authority.issuing.explaining import has_passed
from appliance.authority.operations.callers import local_identity
from appliance.cli.console import Shell
from appliance.cli.sight import is_shown, require_all, shown_customers
from appliance.clock import now_ms, now_s
from appliance.errors import Refusal
from appliance.explanations import ExplainBody
from appliance.index.approvals import ApprovalFilter, list_approvals, render_approval
from appliance.index.cut import render_reached
from appliance.index.explaining import explain_past
from appliance.index.leave import LeaveFilter, find_whose, list_leaves, render_booked, render_leave
from appliance.index.render import render_certificate
from appliance.index.search import CertificateFilter, find_certificates
from appliance.moments import parse_moment_ms


class OnMachine:
    """The authority at its admin socket, and the index."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def explain(self, body: ExplainBody) -> dict[str, Any]:
        """Explain a past moment from the index, which needs no running service; else ask the authority."""
        at_ms = None if body.at is None else parse_moment_ms(body.at)
        if at_ms is not None and has_passed(at_ms // 1000, now_s()):
            with self._shell.look() as snapshot:
                return explain_past(snapshot, local_identity(os.getuid(), now_ms()), body, at_ms)
        explained: dict[str, Any] = self._shell.ask("access.explain", body=body.model_dump(exclude_none=True))
        return explained

    def list_approvals(self, *, past: bool, limit: int, cursor: str | None) -> dict[str, Any]:
        """Look into the index, for those who see all customers."""
        now = now_s()
        with self._shell.look() as snapshot:
            require_all(snapshot)
            page = list_approvals(snapshot, ApprovalFilter(past=past), now_s=now, cursor=cursor, limit=limit)
            origin = snapshot.log().origin
        found = [render_approval(each, now) for each in page.records]
        return {"origin": origin, "approvals": found, "cursor": page.cursor, "ledger_size": page.size}

    def find_approval(self, seq: int) -> dict[str, Any]:
        """Ask the authority, which tells it to whom it concerns."""
        found: dict[str, Any] = self._shell.ask("approval.show", approval=seq)
        return found

    def request_approval(self, body: ApprovalBody) -> dict[str, Any]:
        """Ask the authority, as ``local:<user>``."""
        done = self._shell.ask("approval.request", body=body.model_dump())
        return {"approval": done["seq"]} | ({"already": True} if done["already"] else {})

    def answer_approval(self, seq: int, body: AnswerBody) -> dict[str, Any]:
        """Bring the answer to the authority."""
        done = self._shell.ask("approval.answer", approval=seq, body=body.model_dump(exclude_none=True))
        return {"approval": seq, "answer": body.decision, "entry": done["seq"]}

    def list_leave(
        self, *, person: str | None, past: bool, pending: bool, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """Look into the index, for those who see all customers."""
        now = now_s()
        with self._shell.look() as snapshot:
            require_all(snapshot)
            whose = None if person is None else find_whose(snapshot.policy(), person)
            wanted = LeaveFilter(whose=whose, past=past, pending=pending)
            page = list_leaves(snapshot, wanted, now_s=now, cursor=cursor, limit=limit)
        leaves = [render_leave(each, now) for each in page.records]
        return {"leave": leaves, "cursor": page.cursor, "ledger_size": page.size}

    def book_leave(self, body: LeaveBody, typed: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG002
        """Ask the authority, as ``local:<user>``; it takes moments."""
        done = self._shell.ask("leave.book", body=body.model_dump(exclude_none=True))
        return {**render_booked(done, now_s()), "live": render_reached(self._shell.index(), done["revoked"])}

    def list_certificates(
        self, wanted: CertificateFilter, *, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """Look into the index, for what whoever asks may see."""
        with self._shell.look() as snapshot:
            wanted = replace(wanted, customers=shown_customers(snapshot, "certificate.read"))
            page = find_certificates(snapshot, wanted, now_s=now_s(), cursor=cursor, limit=limit)
        found = [render_certificate(each, page.now_s) for each in page.certificates]
        return {"certificates": found, "cursor": page.cursor, "ledger_size": page.size}

    def show_certificate(self, serial: str) -> dict[str, Any]:
        """Look into the index, for what whoever asks may see."""
        with self._shell.look() as snapshot:
            record = snapshot.certificate(serial)
            shown = record is not None and is_shown(snapshot, "certificate.read", record.customer)
        if record is None or not shown:
            raise Refusal("not-found", f"no certificate with the serial {serial} is on record")
        return render_certificate(record, now_s())
