"""What an operator is told of the token at night: what is wrong, and what to do next."""

from __future__ import annotations

from dataclasses import replace

from appliance.authority.advice import advise
from hsm.health import Snapshot
from hsm.pool import Limits
from hsm.recovery import Condition
from support.snapshots import WELL


def told(token: Snapshot, *, restarts: bool = True) -> str:
    return "\n".join(advise(token, Limits(sessions=4), module="/usr/lib/module.so", restarts=restarts))


def test_well_token_is_no_news() -> None:
    assert told(WELL) == ""


def test_short_outage_needs_patience_and_a_long_one_a_look_at_the_device() -> None:
    away = replace(WELL, condition=Condition.RECOVERING, problem="0 tokens have the label 'ca'", for_s=5)
    assert "wait a little" in told(away)
    assert "0 tokens have the label 'ca'" in told(away)
    assert "pkcs11-tool --module /usr/lib/module.so" in told(replace(away, for_s=40))


def test_refused_token_says_that_a_person_has_to_act() -> None:
    refused = replace(WELL, condition=Condition.REFUSED, problem="it refused this PIN")
    assert "must not be used" in told(refused)
    assert "it refused this PIN" in told(refused)
    assert "no restart is needed" in told(refused)


def test_hanging_session_tells_when_the_authority_helps_itself() -> None:
    hanging = replace(WELL, overran=1, busy=1, longest_call_s=17.0)
    assert "1 of 4 sessions hang, one for 17 s" in told(hanging)
    assert "starts a new process if it lasts 90 s" in told(hanging)
    assert "type the PIN" in told(hanging, restarts=False)


def test_long_queue_tells_whether_more_sessions_help() -> None:
    assert told(replace(WELL, queued=10)) == ""
    assert "200 signatures wait, for about 5 s" in told(replace(WELL, queued=200))
