"""The host's clock is set while runs go on: none is given away, none lives for ever, none waits for the old time."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.chaos.site import ROOT, Site
from tests.chaos.steps import ended_once, reach, submit

pytestmark = pytest.mark.chaos

#: The reaper looks once a second, the worker beats every two: the jump is seen before a beat has mended the lease.
QUICK = {"RUN_HEARTBEAT_S": "2", "RUN_SUSPECT_S": "5", "RUN_NOTIFY_AFTER_S": "1", "WORKER_SILENT_S": "2"}
LOOKS_S = 2.5


class Clock:
    """The wall clock of the workers that are started with `environment()`: see tests/chaos/clock."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.set(hours=0)

    def set(self, *, hours: int) -> None:
        draft = self.file.with_suffix(".new")
        draft.write_text(str(hours * 3600))
        draft.replace(self.file)

    def environment(self) -> dict[str, str]:
        folder = Path(__file__).with_name("clock")
        return {"CHAOS_CLOCK": str(self.file), "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


def test_a_clock_set_five_hours_ahead_and_three_back_takes_no_run_from_its_worker(
    protocol_site: Site, clock: Clock
) -> None:
    site = protocol_site
    site.env |= QUICK
    submit(site, stage_s=3, value=0.25)
    site.worker_start(**clock.environment())
    reach(site, "UNLEARNING")
    clock.set(hours=5)
    ahead = (datetime.now(UTC) + timedelta(hours=4)).strftime("%Y-%m-%d %H:%M:%S")
    time.sleep(LOOKS_S)
    assert site.run_now()["heartbeat_at"] > ahead  # the worker itself lives in that time
    reach(site, "MEASURING")
    clock.set(hours=-3)
    time.sleep(LOOKS_S)
    ended_once(site, attempt=1, value=0.25)
    assert site.events().count("LEASED") == 1


def test_after_a_clock_was_set_back_what_waits_is_still_found(protocol_site: Site, clock: Clock) -> None:
    """The beat sleeps until its old time comes again, and the row says that it is queued for later."""
    site = protocol_site
    site.env |= QUICK
    site.worker_start(**clock.environment())
    site.wait(lambda: bool(site.rows("select name from runs_worker")), within_s=60)
    clock.set(hours=-6)
    submit(site, value=0.5)
    for message in (site.home / "broker" / "queue").glob("*palimpsest.msg"):
        message.unlink()
    ended_once(site, attempt=1, value=0.5)
