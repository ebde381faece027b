"""Refusals as RFC 9457 problems. The one place that knows which status goes with which.

``type`` is ``/problems/<slug>``, ``instance`` names the request as the log does. Retry-After says what
``retry_after_s`` says.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from appliance.errors import ChanceryError, Refusal
from appliance.index.queries import IndexUnavailable
from appliance.web.headers import HEADERS
from appliance.web.request import current_request
from audit.errors import LedgerError

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """What a slug stands for: its status, its title, and what its recipient can do."""

    status: int
    title: str
    advice: str


PROBLEMS: Final[Mapping[str, ProblemType]] = {
    "malformed-request": ProblemType(
        400, "Malformed request", "Correct the member named in `field`; `detail` says what was expected."
    ),
    "unauthenticated": ProblemType(
        401, "Not authenticated", "Show a valid client certificate or credential."
    ),
    "policy-denied": ProblemType(
        403, "Denied by policy", "`rule` says which rule refused, `allowed` what your grants would allow."
    ),
    "not-found": ProblemType(404, "Not found", "Check the name; what you may not see is not found either."),
    "method-not-allowed": ProblemType(405, "Method not allowed", "The Allow header says which are."),
    "conflict": ProblemType(409, "Conflict", "Something changed, or stands already; `detail` says what."),
    "too-large": ProblemType(413, "Too large", "Send less at a time."),
    "unsupported-media-type": ProblemType(415, "Unsupported media type", "Send application/json."),
    "unacceptable-key": ProblemType(422, "Unacceptable key", "Make a key of a kind that `detail` names."),
    "rate-limited": ProblemType(429, "Too many requests", "Wait as long as Retry-After says."),
    "internal": ProblemType(
        500, "Internal error", "Give `instance` to the operators: their log has the cause."
    ),
    "overloaded": ProblemType(503, "Overloaded", "Try again after Retry-After seconds."),
    "hsm-unavailable": ProblemType(503, "Token unavailable", "Try again after Retry-After seconds."),
    "ledger-unavailable": ProblemType(503, "Ledger unavailable", "Try again after Retry-After seconds."),
    "identity-unavailable": ProblemType(503, "Identity provider unavailable", "Try again later."),
    "issuance-halted": ProblemType(
        503, "Issuance halted", "An operator must act: `chancery status` says how."
    ),
}
_SLUG_OF_STATUS: Final = {
    400: "malformed-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
}

# In the place of Werkzeug's, which speak to somebody with a browser.
_WORDS: Final = {
    400: "the request cannot be understood",
    404: "there is no such route: /docs has them all",
    405: "the route does not take this method: Allow names those that it takes",
    413: "the body is too long",
}


def render_problem(refusal: Refusal) -> Response:
    """Render a refusal."""
    request, problem = current_request(), PROBLEMS[refusal.slug]
    response = Response(_format(refusal, request.id), problem.status, mimetype=MEDIA_TYPE)
    if (seconds := refusal.members.get("retry_after_s")) is not None:
        response.headers["Retry-After"] = str(seconds)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="chancery"'
    request.refused = refusal.slug
    return response


def format_bare_reply(refusal: Refusal, instance: UUID, *, goes_on: bool) -> bytes:
    """Format a refusal as a whole HTTP reply, for what never became a request of the application.

    ``goes_on`` is whether the connection does.
    """
    body = _format(refusal, instance)
    status = HTTPStatus(PROBLEMS[refusal.slug].status)
    fields = {
        "Connection": "keep-alive" if goes_on else "close",
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "X-Request-Id": str(instance),
        **HEADERS,
    }
    if (seconds := refusal.members.get("retry_after_s")) is not None:
        fields["Retry-After"] = str(seconds)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {fields[name]}" for name in fields)]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def describe(refusal: Refusal, instance: UUID) -> dict[str, Any]:
    """Return the problem's members."""
    problem = PROBLEMS[refusal.slug]
    return {
        "type": f"/problems/{refusal.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": refusal.detail,
        "instance": f"urn:uuid:{instance}",
        **refusal.members,
    }


def _format(refusal: Refusal, instance: UUID) -> bytes:
    # In ASCII: a detail may quote what the requester sent, and no byte of that can spoil the reply.
    return json.dumps(describe(refusal, instance)).encode("ascii")


def handle_problems(app: Flask) -> None:
    """Have every error of the application leave as a problem."""

    @app.errorhandler(Refusal)
    def refused(refusal: Refusal) -> Response:
        return render_problem(refusal)

    @app.errorhandler(IndexUnavailable)
    @app.errorhandler(LedgerError)
    def unreadable(error: ChanceryError | LedgerError) -> Response:
        log.error("%s", error)
        detail = "what answers this is not there yet, or cannot be read; try again"
        return render_problem(Refusal("ledger-unavailable", detail, retry_after_s=2))

    @app.errorhandler(HTTPException)
    def of_http(error: HTTPException) -> Response:
        code = error.code or 500
        slug = _SLUG_OF_STATUS.get(code, "internal" if code > 499 else "malformed-request")
        response = render_problem(Refusal(slug, _WORDS.get(code, error.name)))
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def unexpected(_error: Exception) -> Response:
        log.exception("request %s failed", current_request().id)
        return render_problem(Refusal("internal", "the request failed; the log has the cause under this id"))
