"""What a cut leaves open: the certificates that were live, and where sessions may outlive them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from appliance.clock import format_rfc3339
from appliance.index.queries import Index, IndexUnavailable, Snapshot
from appliance.index.records import CertificateRecord

# Said wherever access is cut off, since it is what people forget.
CAVEAT: Final = (
    "sessions that are open are not ended by it: look for them on these hosts; a host learns of it when it "
    "fetches the KRL"
)
# The index is behind by a moment, and certificates that were just issued may be ahead of it.
_WAIT_S: Final = 1.0


def render_cut(index: Index, done: Mapping[str, Any]) -> dict[str, Any]:
    """Render what the authority says of a cut, with the principals that the index has of each."""
    last = max((each["seq"] for each in done["live"]), default=-1)
    try:
        index.wait_for(last + 1, _WAIT_S)
        with index.snapshot() as snapshot:
            live = [_describe(each, snapshot) for each in done["live"]]
    except IndexUnavailable:  # it is cut off all the same
        live = [_describe(each, None) for each in done["live"]]
    rendered = {"count": done["revoked"], "live": live, "live_count": done["live_count"], "note": CAVEAT}
    rendered |= {name: done[name] for name in ("hosts", "host_count") if name in done}
    return rendered | ({"entry": done["seq"]} if "seq" in done else {"already": True})


def render_reached(index: Index, serials: Sequence[str]) -> list[dict[str, Any]]:
    """Render the certificates, by serial, that a leave has revoked since they reached into it."""
    try:
        index.wait_for(max((int(serial) % (1 << 48) for serial in serials), default=-1) + 1, _WAIT_S)
        with index.snapshot() as snapshot:
            found = [snapshot.certificate(serial) for serial in serials]
            return [describe_record(snapshot, record) for record in found if record is not None]
    except IndexUnavailable:  # it is cut off all the same
        return []


def render_revoked(index: Index, named: tuple[str, str], done: Mapping[str, Any]) -> dict[str, Any]:
    """Render what was revoked, and the serial if it was named by that."""
    member, name = named
    return {"revoked": True, **({"serial": name} if member == "serial" else {}), **render_cut(index, done)}


def _describe(live: Mapping[str, Any], snapshot: Snapshot | None) -> dict[str, Any]:
    known = {"subject": live["subject"], "valid_before": format_rfc3339(live["valid_before"])}
    record = None if snapshot is None else snapshot.certificate_at(live["seq"], snapshot.size)
    if snapshot is None or record is None:
        return {"intent": live["seq"], **known}
    return describe_record(snapshot, record)


def describe_record(snapshot: Snapshot, record: CertificateRecord) -> dict[str, Any]:
    """Render a certificate as one that is, or was, live: whose it is, until when, and where it lets in."""
    return {
        "intent": record.seq,
        "subject": record.subject if record.type == "user" else f"host:{record.host}",
        "valid_before": format_rfc3339(record.valid_before),
        "serial": record.serial,
        "principals": list(record.principals),
        "host_groups": _host_groups(snapshot, record),
    }


def _host_groups(snapshot: Snapshot, record: CertificateRecord) -> list[str]:
    """Return the host groups that a user's certificate reaches; a bare login reaches all that take those."""
    if record.type == "host":
        return []
    named = {principal.partition("@")[2] for principal in record.principals}
    policy = snapshot.policy()
    if "" in named and policy is not None:
        named |= {
            group.name
            for group in policy.host_groups.values()
            if group.customer == record.customer and group.principals == "login"
        }
    return sorted(named - {""})
