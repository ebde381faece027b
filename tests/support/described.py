"""What schemathesis is told beyond the description. It loads this module itself (SCHEMATHESIS_HOOKS).

JSON Schema cannot say that a list is sorted, that one parameter is not above another, what a public key is,
or that an order is signed: here is how to make such. What is made invalid on purpose stays so, and no answer
is judged more leniently.
"""

from __future__ import annotations

import itertools
import os
import re
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import schemathesis
from hypothesis import strategies as st

from appliance.authority.approving.answers import NAMESPACE, answer_message
from appliance.authority.fold.approvals import Requested
from appliance.authority.ordering.commands import ApplyPolicy
from appliance.authority.transport.client import AuthorityClient
from appliance.cli.ordering import VALIDITY_S, sign_message, sign_order
from appliance.days import is_day
from appliance.errors import Refusal
from appliance.policy.document import MAX_FILES, PolicyFile
from appliance.ssh.keys import format_public_key_line
from audit.errors import EntryError
from support.directory import PASSWORD
from support.service import HOST
from support.ssh_examples import public_key

DATA: Final = Path(os.environ["DESCRIBED_DATA"])
KEY: Final = Path(os.environ["DESCRIBED_KEY"])
POLICY: Final = Path(os.environ["DESCRIBED_POLICY"]).read_text("utf-8")
CERTIFICATE: Final = os.environ["DESCRIBED_CERTIFICATE"]
OTHER_HOST: Final = "db-1.acme.example"
SERIAL: Final = os.environ["DESCRIBED_SERIAL"]
OWN_CREDENTIAL: Final = os.environ["DESCRIBED_CREDENTIAL"]
OTHER_CREDENTIAL: Final = os.environ["DESCRIBED_OTHER_CREDENTIAL"]
LEAVE: Final = os.environ["DESCRIBED_LEAVE"]
APPROVAL: Final = os.environ["DESCRIBED_APPROVAL"]
# The moments at which the leave, which is far ahead, is ordered to end: each before the last.
_ENDS: Final = itertools.count(int(os.environ["DESCRIBED_LEAVE_ENDS"]) - 1, -1)

_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.]+([Zz]|[+-][0-9:]+)")
_ANSWER: Final = {"decision", "person", "expires_s", "signature"}
_LINES: Final = [
    format_public_key_line(public_key(kind)) for kind in ("ed25519", "nistp256", "nistp384", "nistp521")
]
_OTHER_LINE: Final = format_public_key_line(public_key("ed25519", 77))
_WORDS: Final = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=40)
_FORMATS: Final[dict[str, st.SearchStrategy[str]]] = {
    "ssh-public-key": st.sampled_from(_LINES),
    "ssh-certificate": st.just(CERTIFICATE),
    "policy": st.just(POLICY),
    "subject": _WORDS,
    # Of nobody who asks for certificates here.
    "identity": _WORDS.map("oidc:{}".format),
    "ttl": st.builds("{}{}".format, st.integers(1, 52), st.sampled_from("smhdw")),
    "cidr": st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str),
    "day-or-moment": st.dates(min_value=date(2027, 1, 1), max_value=date(2029, 1, 1)).map(str),
    "time-zone": st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    "person": st.sampled_from(["api:alice", "api:carol", "carol"]),
    "tile-index": st.sampled_from(["000", "001", "999"]),
    # Unix time begins in 1970, and has no leap seconds.
    "date-time": st.datetimes(min_value=datetime(1970, 1, 2)).map("{0:%Y-%m-%dT%H:%M:%S}Z".format),  # noqa: DTZ001
}
for _name, _strategy in _FORMATS.items():
    schemathesis.openapi.format(_name, _strategy)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Make what is valid by itself valid as a whole."""
    _choose_sizes(case.query)
    _choose_subject(case.path_parameters)
    if isinstance(case.body, dict):
        if case.path in {"/v1/locks", "/v1/revocations"}:
            _spare(case.body)
        elif str(case.body.get("host", "")).endswith(tuple("abcdefghijklm")):
            case.body["host"] = HOST
        _settle(case)


def _choose_subject(path: Any) -> None:
    """Ask for what is there, at times; and never revoke the credential that everything is asked with."""
    if not path:
        return
    if path.get("id") == OWN_CREDENTIAL:
        path["id"] = OTHER_CREDENTIAL
    if str(path.get("serial")).endswith(("0", "2", "4")):
        path["serial"] = SERIAL
    if str(path.get("ca", "")).endswith(tuple("abcdefghijklm")):
        path["ca"] = "acme-users"
    if "seq" in path:
        path["seq"] = _lock()
    for name, there in (("leave", LEAVE), ("approval", APPROVAL)):
        if 0 <= (_as_int(path.get(name, -1)) or -1) < 2**53:
            path[name] = int(there)
    if path.get("index") == "000":
        path |= {"level": "entries", "index": "000.p/8"}


def _spare(body: dict[str, Any]) -> None:
    """Cut off nothing that other requests are about."""
    if str(body.get("key")) in _LINES:
        body["key"] = _OTHER_LINE
    if str(body.get("host", "")).endswith(tuple("abcdefghijklm")):
        body["host"] = OTHER_HOST


def _choose_sizes(query: Any) -> None:
    """Ask for sizes that the log has: for others a reader waits a second, and is told to try again."""
    if not query:
        return
    for name in ("min_size", "old", "new"):
        if (value := _as_int(query.get(name))) is not None and 8 < value <= 2**53:
            query[name] = 1 + value % 8
    old, new = _as_int(query.get("old")), _as_int(query.get("new"))
    if old is not None and new is not None and old > new > 0:
        query["old"], query["new"] = new, old


def _as_int(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() else None


def _settle(case: Any) -> None:
    if case.path == "/v1/sessions":
        _log_in(case.body)
        return
    command = case.body.get("command")
    if case.path in {"/v1/policy", "/v1/policy/plan"}:
        files = case.body.get("files")
        if isinstance(files, list) and len(files) <= MAX_FILES:
            del files[1:]  # they are all one policy, and cannot be there twice
        command = _policy_command(files)
    elif isinstance(command, dict):
        _settle_command(command, case.path_parameters or {}, case.method)
    elif case.path == "/v1/leave":
        _plan(case.body)
    elif case.path == "/v1/certificates/user":
        _begin(case.body)
    elif case.path == "/v1/approvals" and isinstance(case.body.get("grant"), str):
        case.body["grant"] = "approved"
    elif case.path == "/v1/approvals/{approval}" and set(case.body) >= _ANSWER:
        _answer(case.body, (case.path_parameters or {}).get("approval"))
    orders = case.body.get("orders")
    # A signature that is none is to be refused, so not all of them are made good.
    if isinstance(command, dict) and isinstance(orders, list) and len(orders) == 1 and _is_order(orders[0]):
        _sign(orders[0], {name: value for name, value in command.items() if value is not None})


def _settle_command(command: dict[str, Any], path: dict[str, Any], method: str) -> None:
    """Have a command speak of what its path speaks of."""
    _sort(command)
    if isinstance(command.get("lock"), int | float):
        command["lock"] = path.get("seq", command["lock"])
    if method == "DELETE" and isinstance(command.get("name"), str):
        command["name"] = path.get("name", "")
    if (leave := _as_int(path.get("leave"))) is not None:
        _shorten(command, leave)
    if isinstance(command.get("customer"), str):
        command["customer"] = "acme"


def _log_in(body: dict[str, Any]) -> None:
    """Let a login that is none in form stay so, and another be ada's at times."""
    in_form = set(body) == {"provider", "username", "password"} and all(
        isinstance(each, str) and each for each in body.values()
    )
    if in_form and len(body["username"]) < 256 and len(body["password"]) < 99:
        body |= {"provider": "ldap", "username": "ada", "password": PASSWORD}


def _sort(command: dict[str, Any]) -> None:
    names, labels = command.get("names"), command.get("labels")
    if isinstance(names, list) and all(isinstance(each, str) for each in names):
        command["names"] = sorted(set(names))
    if isinstance(labels, list) and all(
        isinstance(each, dict) and isinstance(each.get("name"), str) for each in labels
    ):
        by_name = {each["name"]: each for each in labels}
        command["labels"] = [by_name[name] for name in sorted(by_name)]


def _policy_command(files: Any) -> Any:
    try:
        read = [PolicyFile(name=each["name"], text=each["text"]) for each in files]
        return ApplyPolicy.of(read).to_command()
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _shorten(command: dict[str, Any], leave: int) -> None:
    """Order the leave of the path to end sooner, again and again: cancelled it could be but once."""
    if _as_int(command.get("leave")) is None or isinstance(command["leave"], bool | str):
        return
    command["leave"] = leave
    if command.get("ends_s") is None or _is_seconds(command["ends_s"]):
        command["ends_s"] = next(_ENDS)


def _is_seconds(value: Any) -> bool:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and not isinstance(value, bool) and 0 <= value < 2**53


def _begin(body: dict[str, Any]) -> None:
    """Have a certificate begin at no moment that has passed."""
    start = body.get("start")
    if isinstance(start, str) and _MOMENT.fullmatch(start):
        body["start"] = f"2099{start[4:]}".replace("-02-29", "-02-28")


def _plan(body: dict[str, Any]) -> None:
    """Have a leave end after it starts, and be of someone whom the policy knows."""
    times: list[Any] = [body.get("starts"), body.get("ends")]
    if all(isinstance(each, str) and is_day(each) for each in times) and times[0] >= times[1]:
        body["ends"] = "2029-06-01"
    if isinstance(body.get("person"), str) and 0 < len(body["person"]) < 64 and ":" not in body["person"]:
        body["person"] = "carol"


def _answer(body: dict[str, Any], approval: Any) -> None:
    """Make an answer carol's, unless its members are none in form."""
    if body["decision"] not in ("given", "refused") or not all(
        isinstance(body[name], kind)
        for name, kind in (("person", str), ("signature", str), ("expires_s", int))
    ):
        return
    try:
        asked = _authority().call("approval.show", approval=approval)
    except (Refusal, OverflowError):  # there is none, or no number that the socket has a form for
        return
    requested = Requested(
        seq=asked["seq"],
        identity=asked["identity"],
        grant=asked["grant"],
        answer_by_s=0,
        ttl_s=asked["ttl_s"],
    )
    expires_s = asked["now_s"] + 60
    message = answer_message(asked["origin"], requested, body["decision"], expires_s)
    signature = sign_message(message, NAMESPACE, KEY)
    body |= {"person": "carol", "expires_s": expires_s, "signature": signature}


def _is_order(order: Any) -> bool:
    return isinstance(order, dict) and set(order) == {"operator", "policy", "expires_s", "signature"}


def _sign(order: dict[str, Any], command: dict[str, Any]) -> None:
    """Replace an order by carol's, unless its members are none in form."""
    if not all(isinstance(order[name], int) for name in ("policy", "expires_s")):
        return
    context = _authority().call("context")
    try:
        signed = sign_order(
            command,
            origin=context["origin"],
            policy_seq=context["policy"],
            expires_s=context["now_s"] + VALIDITY_S,
            operator="carol",
            key=KEY,
        )
    except (EntryError, KeyError, UnicodeError):
        return  # nothing that could be signed
    order |= signed.model_dump()


def _lock() -> int:
    """Return a lock in force: the one that was placed before, unless it has been lifted."""
    placed = _authority().call("lock.place", body={"identity": "oidc:ada", "reason": "left"})
    seq: int = placed["lock"]
    return seq


@cache
def _authority() -> AuthorityClient:
    return AuthorityClient(DATA / "run" / "admin.sock")
