"""The service that one is logged in to, over HTTPS, as :class:`~appliance.cli.calling.Caller` has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from appliance.authority.approving.answers import AnswerBody
from appliance.authority.approving.approving import ApprovalBody
from appliance.authority.cutting.leaving import LeaveBody
from appliance.client import pages
from appliance.client.replies import Reply
from appliance.client.saved import Login
from appliance.client.service import ServiceClient
from appliance.clock import now_s
from appliance.durations import parse_duration
from appliance.errors import Refusal
from appliance.explanations import ExplainBody
from appliance.identity.fetching import make_context
from appliance.index.queries import MAX_PAGE
from appliance.index.search import CertificateFilter
from appliance.moments import parse_moment_ms

NEW: Final = "`chancery login` brings a new one"
# The service's clock may be so far behind ours: an approval that lasts too long is none.
_SKEW_S: Final = 30

_Reply = TypeVar("_Reply", bound=Reply)


class OverHttps:
    """The service that one is logged in to."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._client = ServiceClient(login.url, make_context(None if login.ca is None else Path(login.ca)))

    def explain(self, body: ExplainBody) -> dict[str, Any]:
        """``GET /v1/access/explain``."""
        asked = body.model_dump(exclude_none=True)
        if "groups" in asked:
            asked["groups"] = ",".join(asked["groups"])
        return self._get("/v1/access/explain", pages.Explanation, asked)

    def list_approvals(self, *, past: bool, limit: int, cursor: str | None) -> dict[str, Any]:
        """``GET /v1/approvals``."""
        return self._get("/v1/approvals", pages.Approvals, {"past": past, "limit": limit, "cursor": cursor})

    def find_approval(self, seq: int) -> dict[str, Any]:
        """Find it among those that may be seen: the list has what an answer says."""
        page = self.list_approvals(past=True, limit=MAX_PAGE, cursor=f"{seq + 1:x}")
        for each in page["approvals"]:
            if each["approval"] == seq:
                return {
                    "origin": page["origin"],
                    "seq": seq,
                    "identity": each["identity"],
                    "grant": each["grant"],
                    "reason": each["reason"],
                    "answer_by_s": parse_moment_ms(each["answer_by"]) // 1000,
                    "ttl_s": parse_duration(each["ttl"]),
                    "given_by": [one["person"] for one in each["answers"] if one["answer"] == "given"],
                    "now_s": now_s() - _SKEW_S,
                }
        raise Refusal("not-found", f"entry {seq} asked for no approval that you can see")

    def request_approval(self, body: ApprovalBody) -> dict[str, Any]:
        """``POST /v1/approvals``."""
        return self._post("/v1/approvals", pages.Asked, body.model_dump())

    def answer_approval(self, seq: int, body: AnswerBody) -> dict[str, Any]:
        """``POST /v1/approvals/{approval}``."""
        return self._post(f"/v1/approvals/{seq}", pages.Answered, body.model_dump(exclude_none=True))

    def list_leave(
        self, *, person: str | None, past: bool, pending: bool, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """``GET /v1/leave``."""
        asked = {"person": person, "past": past, "pending": pending, "limit": limit, "cursor": cursor}
        return self._get("/v1/leave", pages.Leaves, asked)

    def book_leave(self, body: LeaveBody, typed: Mapping[str, str]) -> dict[str, Any]:
        """``POST /v1/leave``, with days as they were typed: their zone is on record."""
        sent = {"person": body.person, "reason": body.reason, **typed}
        return self._post("/v1/leave", pages.Booked, {name: value for name, value in sent.items() if value})

    def list_certificates(
        self, wanted: CertificateFilter, *, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """``GET /v1/certificates``."""
        names = ("subject", "key_id", "principal", "host", "customer", "fingerprint", "type", "state")
        asked = {name: getattr(wanted, name) for name in names}
        return self._get("/v1/certificates", pages.Certificates, {**asked, "limit": limit, "cursor": cursor})

    def show_certificate(self, serial: str) -> dict[str, Any]:
        """``GET /v1/certificates/{serial}``."""
        return self._get(f"/v1/certificates/{serial}", pages.Certificate, {})

    def _get(self, path: str, expected: type[_Reply], asked: Mapping[str, object]) -> dict[str, Any]:
        # What is false is what a route takes it for without being told.
        named = {name: value for name, value in asked.items() if value is not None and value is not False}
        query = urlencode({name: "true" if value is True else value for name, value in named.items()})
        try:
            reply = self._client.get(f"{path}?{query}" if query else path, expected, self._login.credential)
        except Refusal as refusal:
            raise _in_words(refusal) from refusal
        return reply.model_dump(exclude_unset=True)

    def _post(self, path: str, expected: type[_Reply], body: Mapping[str, object]) -> dict[str, Any]:
        try:
            reply = self._client.post(path, expected, body, self._login.credential)
        except Refusal as refusal:
            raise _in_words(refusal) from refusal
        return reply.model_dump(exclude_unset=True)


def _in_words(refusal: Refusal) -> Refusal:
    """Say of a login that the service takes no more what to do."""
    if refusal.slug != "unauthenticated":
        return refusal
    return Refusal("unauthenticated", f"the service takes this login no more: {NEW}")
