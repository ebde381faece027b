"""What operations work with, and what each of them is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.authority.cas.ceremony import Ceremony
from appliance.authority.fold.state import State
from appliance.authority.issuing.admission import Admission
from appliance.authority.issuing.issuance import Cycle
from appliance.authority.issuing.rates import Rates
from appliance.authority.ordering.preparing import Preparer
from appliance.authority.publishing.bundle import HostView
from appliance.authority.publishing.listing import Lister
from appliance.authority.transport.server import Peer, Reply
from appliance.authority.writer import At, Writer
from audit.stores.store import Reader

Operation = Callable[[Peer, Mapping[str, Any], Reply], None]
Table = Mapping[str, Operation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the operations work with; ``readers`` are users that speak for nobody, and may read only."""

    writer: Writer
    cycle: Cycle
    ceremony: Ceremony
    policies: Preparer
    reader: Reader
    last_checkpoint: Callable[[], tuple[int, str] | None]
    now_ms: Callable[[], int]
    status: Callable[[State, At], dict[str, Any]]
    probe: Callable[[Reply], None]
    bundle: Callable[[HostView, int, Reply], None]
    lister: Lister
    admission: Admission
    rates: Rates
    readers: Collection[int] = ()
