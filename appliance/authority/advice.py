"""What is wrong with the token and what to do about it, for someone who was woken up for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hsm.health import Snapshot
from hsm.pool import Limits
from hsm.recovery import Condition

# A queue this much longer than one call after the other would take is worth a word.
_LONG_QUEUE_S: Final = 3.0
_SOON_S: Final = 30.0


def advise(token: Snapshot, limits: Limits, *, module: str, restarts: bool) -> Iterator[str]:
    """Yield the token's problems, each with what to do; nothing when it is well.

    ``restarts``: the authority may start a new process, because its PIN was not typed in.
    """
    if token.condition is not Condition.READY:
        yield _explain(token, module)
    if token.overran:
        end = (
            f"the authority starts a new process if it lasts {limits.restart_after_s:.0f} s"
            if restarts
            else "stop `chancery serve`, start it and type the PIN: a hanging call ends with its process"
        )
        yield (
            f"{token.overran} of {token.sessions} sessions hang, one for {token.longest_call_s:.0f} s: "
            f"see whether the device or the way to it is down; {end}"
        )
    backlog_s = token.queued * token.counts.call_s / token.sessions
    if token.condition is Condition.READY and backlog_s > _LONG_QUEUE_S:
        yield (
            f"{token.queued} signatures wait, for about {backlog_s:.0f} s: the token takes "
            f"{1000 * token.counts.call_s:.0f} ms for each in {token.sessions} sessions; more "
            "(token.sessions) help a network HSM, not a small device"
        )


def _explain(token: Snapshot, module: str) -> str:
    for_s = f"for {token.for_s:.0f} s"
    match token.condition:
        case Condition.OPENING:
            return f"the token could not be opened yet, {for_s}: {token.problem}; {_look(module)}"
        case Condition.REFUSED:
            return (
                f"the token must not be used, {for_s}: {token.problem}. Nothing is issued until that is set "
                "right; it is looked at again every half minute, no restart is needed"
            )
        case Condition.STOPPED:
            return "the authority is stopping"
        case _:
            patience = (
                "it is being recovered, wait a little"
                if token.for_s < _SOON_S
                else f"what the authority can do by itself has not helped: {_look(module)}"
            )
            return f"the token does not work, {for_s}: {token.problem}; {patience}"


def _look(module: str) -> str:
    return (
        f"see that the device is there, switched on and reachable, with `pkcs11-tool --module {module} "
        "--list-token-slots` as the authority's user"
    )
