"""Processes are killed at every step of a run; each run still ends, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.site import Site
from tests.chaos.steps import STAGES, ended_once, submit

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("stage", STAGES)
def test_kill_9_of_the_worker_in_any_stage(protocol_site: Site, stage: str) -> None:
    site = protocol_site
    submit(site, stage_s=1.5)
    site.worker_start()
    site.wait(lambda: site.state() == stage, within_s=60)
    run = site.run()
    assert run is not None
    site.worker_kill()
    site.wait(lambda: not site.processes(f"{run['id']}/job.json"), within_s=10)
    site.worker_start()
    ended_once(site)
    ended = site.run()
    assert ended is not None
    assert ended["attempt"] == 2
    assert not (site.home / "runs" / run["id"] / "work").exists()  # the scratch of a scored run is gone
    assert (site.home / "sweeps.log").read_text().split().count(run["id"]) >= 1


def test_kill_9_of_the_worker_takes_its_beat_along(protocol_site: Site) -> None:
    """An orphan beat would go on sending, one more after each crash."""
    site = protocol_site
    site.worker_start()
    site.wait(lambda: len(site.workers()) >= 2, within_s=60)
    site.worker_kill()
    site.wait(lambda: not site.workers(), within_s=20)


def test_kill_9_before_the_inspection(protocol_site: Site) -> None:
    """The message is lost with the worker that took it; the row is not."""
    site = protocol_site
    submit(site)
    for message in (site.home / "broker" / "queue").glob("*.msg"):
        message.unlink()
    site.env["RUN_NOTIFY_AFTER_S"] = "2"
    site.worker_start()
    ended_once(site)


def test_kill_9_of_the_evaluator_is_a_failure_of_the_platform_and_is_repeated(protocol_site: Site) -> None:
    site = protocol_site
    submit(site, stage_s=1.5)
    site.worker_start()
    site.wait(lambda: site.state() == "MEASURING", within_s=60)
    run = site.run()
    assert run is not None
    for pid in site.processes(f"{run['id']}/job.json"):
        os.kill(pid, signal.SIGKILL)
    ended_once(site)
    assert site.events().count("QUEUED") == 2


def test_an_orderly_stop_hands_the_run_back_without_counting_it(protocol_site: Site) -> None:
    site = protocol_site
    submit(site, stage_s=2)
    site.worker_start()
    site.wait(lambda: site.state() == "UNLEARNING", within_s=60)
    site.worker_stop()
    run = site.run()
    assert run is not None
    assert (run["state"], run["attempt"]) == ("QUEUED", 0)
    assert site.processes(run["id"]) == []
    site.worker_start()
    ended_once(site)


def test_a_worker_that_dies_every_time_ends_as_a_platform_failure(protocol_site: Site) -> None:
    site = protocol_site
    submit(site, stage_s=60)
    for attempt in (1, 2, 3):
        site.worker_start()
        site.wait(lambda: (site.run() or {"attempt": 0})["attempt"] == attempt, within_s=60)  # noqa: B023
        site.wait(lambda: site.state() == "UNLEARNING", within_s=60)
        site.worker_kill()
    site.worker_start()
    site.wait(lambda: site.state() == "FAILED_PLATFORM", within_s=60)
    assert site.events()[-1] == "FAILED_PLATFORM"


@pytest.mark.torch
@pytest.mark.parametrize("stage", ["UNLEARNING", "MEASURING"])
def test_kill_9_with_the_real_evaluator(
    real_site: Site, real_submission: dict[str, Any], stage: str, tmp_path: Path
) -> None:
    site = real_site
    site.submit(**real_submission)
    site.worker_start()
    journal = tmp_path / "journal"
    site.wait(lambda: site.state() == stage and journal.exists(), within_s=120)
    site.worker_kill()
    run = site.run()
    assert run is not None
    site.wait(lambda: not site.processes(f"{run['id']}/job.json"), within_s=30)
    site.worker_start()
    ended_once(site)
    starts = journal.read_text().split()
    assert len(starts) == (2 if stage == "UNLEARNING" else 1)  # what was sealed is not done again
