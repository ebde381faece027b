"""The service over HTTPS, as ``chancery login`` asks it."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import ValidationError

from appliance.client.replies import Reply
from appliance.errors import SLUGS, ConfigError, Refusal

TIMEOUT_S: Final = 60.0
_MAX_REPLY: Final = 4_194_304
_PROBLEMS: Final = "/problems/"

_Reply = TypeVar("_Reply", bound=Reply)


class ServiceClient:
    """Asks one service; a connection for each question."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        """Prepare to ask the service at ``url``, which has no path.

        Raises:
            ConfigError: it is no such URL.
        """
        try:
            parts = urlsplit(url)
            self._host, self._port = _check_place(parts), parts.port
        except ValueError as error:
            raise ConfigError(
                f"got {url[:200]!r}, expected the service's URL, such as https://ca.example.org"
            ) from error
        self._context = context

    def get(self, path: str, expected: type[_Reply], credential: str | None = None) -> _Reply:
        """Ask for something that is there; raises as :meth:`post`."""
        return self._parse(path, expected, self._ask("GET", path, None, credential))

    def post(
        self, path: str, expected: type[_Reply], body: Mapping[str, object], credential: str | None = None
    ) -> _Reply:
        """Ask for something, with a bearer credential if there is one.

        Raises:
            Refusal: the service's; or ``ledger-unavailable``, it cannot be reached.
            ConfigError: what answers is no such service.
        """
        return self._parse(path, expected, self._ask("POST", path, json.dumps(body).encode(), credential))

    def _parse(self, path: str, expected: type[_Reply], members: Any) -> _Reply:
        try:
            return expected.model_validate(members)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            what = ": ".join([*map(str, first["loc"]), first["msg"]])
            raise ConfigError(
                f"{self._host} does not answer {path} as Chancery does ({what}): is the URL right?"
            ) from error

    def _ask(self, method: str, path: str, body: bytes | None, credential: str | None) -> Any:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=TIMEOUT_S, context=self._context
        )
        try:
            connection.request(method, path, body=body, headers=headers)
            with connection.getresponse() as reply:
                text = reply.read(_MAX_REPLY)
        except ssl.SSLCertVerificationError as error:
            raise Refusal(
                "ledger-unavailable",
                f"{self._host} cannot be asked, its certificate is of nobody known: if a CA of yours made "
                f"it, name that with `--ca FILE` ({error})",
            ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Refusal("ledger-unavailable", f"{self._host} cannot be asked: {error}") from error
        finally:
            connection.close()
        try:
            members = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"{self._host} answers {path} with {reply.status}, not as Chancery does: is the URL right?"
            ) from error
        if reply.status >= http.client.BAD_REQUEST:
            raise _refusal(members, reply.status)
        return members


def _check_place(parts: SplitResult) -> str:
    """Return the host of a service's URL, which has nothing but that and a port."""
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("no service's URL")
    return parts.hostname


def _refusal(members: Any, status: int) -> Refusal:
    """Make a problem of the service (RFC 9457) the refusal that it was."""
    problem = members if isinstance(members, dict) else {}
    slug = str(problem.get("type", "")).removeprefix(_PROBLEMS)
    detail = str(problem.get("detail") or f"the service answered {status}")
    more = {name: problem[name] for name in ("field", "rule", "allowed", "retry_after_s") if name in problem}
    return Refusal(slug if slug in SLUGS else "internal", detail, **more)
