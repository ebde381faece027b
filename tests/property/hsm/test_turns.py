"""Turns: nothing is lost or doubled, callers alternate, the order within one holds, urgent jobs go first."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from hsm.turns import Turns

CALLERS = st.lists(st.sampled_from("abcde"), max_size=60)


def drain(turns: Turns[tuple[str, int]]) -> list[tuple[str, int]]:
    taken = []
    while (job := turns.take()) is not None:
        taken.append(job)
    return taken


@given(CALLERS)
def test_every_job_comes_once_and_in_its_callers_order(callers: list[str]) -> None:
    turns: Turns[tuple[str, int]] = Turns()
    for number, caller in enumerate(callers):
        turns.add((caller, number), caller)
    assert len(turns) == len(callers)
    taken = drain(turns)
    assert len(turns) == 0
    assert sorted(taken, key=lambda job: job[1]) == list(zip(callers, range(len(callers)), strict=True))
    for caller in set(callers):
        mine = [number for who, number in taken if who == caller]
        assert mine == sorted(mine)


@given(CALLERS)
def test_nobody_has_two_turns_while_another_waits(callers: list[str]) -> None:
    turns: Turns[tuple[str, int]] = Turns()
    for number, caller in enumerate(callers):
        turns.add((caller, number), caller)
    left = {caller: callers.count(caller) for caller in set(callers)}
    for caller, run in groupby(drain(turns), key=lambda job: job[0]):
        length = sum(1 for _ in run)
        others = sum(count for who, count in left.items() if who != caller)
        assert length == 1 or others == 0 or length <= left[caller]
        assert not (length > 1 and others), "two turns in a row while another waited"
        left[caller] -= length


@given(CALLERS, st.integers(1, 5))
def test_urgent_jobs_go_first_and_what_was_put_back_before_those(callers: list[str], urgent: int) -> None:
    turns: Turns[tuple[str, int]] = Turns()
    for number, caller in enumerate(callers):
        turns.add((caller, number), caller)
    returned = turns.take()
    for number in range(urgent):
        turns.add_urgent(("urgent", number))
    if returned is not None:
        turns.put_back(returned)
        assert turns.take() == returned
    assert drain(turns)[:urgent] == [("urgent", number) for number in range(urgent)]


@given(CALLERS, st.sampled_from("abcde"))
def test_removed_jobs_are_gone_and_the_others_keep_their_order(callers: list[str], unwanted: str) -> None:
    turns: Turns[tuple[str, int]] = Turns()
    wanted: Turns[tuple[str, int]] = Turns()
    for number, caller in enumerate(callers):
        turns.add((caller, number), caller)
        if caller != unwanted:
            wanted.add((caller, number), caller)
    removed = turns.remove(lambda job: job[0] == unwanted)
    assert len(removed) == callers.count(unwanted)
    assert len(turns) == len(wanted)
    assert drain(turns) == drain(wanted)
