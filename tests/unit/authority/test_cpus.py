"""The authority on few CPUs."""

from __future__ import annotations

import os
from pathlib import Path

from appliance.authority.process import stay_on_cpus
from support.isolated import isolated


@isolated
def test_process_stays_on_as_many_cpus_as_it_is_told(tmp_path: Path) -> None:
    available = os.sched_getaffinity(0)
    stay_on_cpus(0)
    assert os.sched_getaffinity(0) == available
    stay_on_cpus(len(available) + 1)
    assert os.sched_getaffinity(0) == available
    stay_on_cpus(1)
    (left,) = os.sched_getaffinity(0)
    assert left in available
