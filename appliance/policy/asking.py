"""One request with all that its decision looks at besides the policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.identity.identity import Identity
from appliance.policy.circumstances import Circumstances

if TYPE_CHECKING:
    from appliance.requests import UserRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who asks for what, under which circumstances, and at which moment; ``max_ttl_s`` is the log's."""

    identity: Identity
    request: UserRequest
    circumstances: Circumstances
    now_s: int
    max_ttl_s: int

    @property
    def start_s(self) -> int:
        """The moment from which on the certificate is asked for."""
        return max(self.now_s, self.request.start_s or 0)
