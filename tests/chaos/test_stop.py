"""A worker is stopped for longer than its lease and wakes up when another has its run: it writes nothing."""

from __future__ import annotations

import os
import signal

import pytest

from tests.chaos.site import Site
from tests.chaos.steps import ended_once, reach, submit

pytestmark = pytest.mark.chaos

QUICK = {
    "RUN_LEASE_TTL_S": "1.5",
    "RUN_HEARTBEAT_S": "0.3",
    "RUN_SUSPECT_S": "0.5",
    "RUN_NOTIFY_AFTER_S": "1",
    "RUNS_PER_HOST": "2",  # the one that is stopped keeps its place
    "WORKER_SILENT_S": "3",
}


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param("LEASED", marks=pytest.mark.slow),
        pytest.param("UNLEARNING", marks=pytest.mark.slow),
        "MEASURING",
        pytest.param("SCORING", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("wakes", ["while the other works", pytest.param("late", marks=pytest.mark.slow)])
def test_a_worker_that_slept_beyond_its_lease_writes_nothing(protocol_site: Site, stage: str, wakes: str) -> None:
    site = protocol_site
    site.env |= QUICK
    submit(site, stage_s=2, value=0.25)
    first = site.worker_start()
    reach(site, stage)
    os.kill(first.pid, signal.SIGSTOP)
    second = site.worker_start()
    site.wait(lambda: site.run_now()["attempt"] == 2, within_s=60)
    if wakes == "late":
        site.wait(lambda: site.state() == "SCORED", within_s=60)
    os.kill(first.pid, signal.SIGCONT)
    site.wait(lambda: "lease lost" in site.log(), within_s=60)
    ended_once(site, attempt=2, value=0.25)
    assert site.events().count("LEASED") == 2
    run = site.run_now()
    assert run["lease_owner"].endswith(f":{second.pid}")
    assert (first.poll(), second.poll()) == (None, None)
