"""Production's database goes away in every state of a run; the worker survives, and each run still ends once."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.chaos.conftest import ProductionSite
from tests.chaos.servers import Postgres
from tests.chaos.site import ROOT
from tests.chaos.steps import STAGES, ended_once, reach, submit

pytestmark = pytest.mark.chaos


def test_connections_cut_in_every_state_and_in_the_middle_of_the_last_write(
    production_site: ProductionSite, postgres: Postgres
) -> None:
    site = production_site
    submit(site, stage_s=1, value=0.25)
    site.worker_start()
    for stage in ("LEASED", *STAGES):
        reach(site, stage)
        assert postgres.connections_cut(site.database) > 0
    with postgres.connect(site.database) as holder, holder.transaction():
        holder.execute("LOCK TABLE runs_score IN ACCESS EXCLUSIVE MODE")
        # SCORED is written by now, but not committed: the scores wait for the lock.
        site.wait(lambda: bool(postgres.waiting_for_a_lock(site.database)), within_s=60)
        for pid in postgres.waiting_for_a_lock(site.database):
            holder.execute("SELECT pg_terminate_backend(%s)", [pid])
    ended_once(site, attempt=1, value=0.25)
    assert site.worker is not None and site.worker.poll() is None


def test_a_server_that_crashes_and_comes_back_in_every_state(
    production_site: ProductionSite, postgres: Postgres
) -> None:
    site = production_site
    submit(site, stage_s=1, value=0.5)
    site.worker_start()
    for stage in ("LEASED", *STAGES):
        reach(site, stage)
        postgres.restart()
    ended_once(site, attempt=1, value=0.5)
    assert site.worker is not None and site.worker.poll() is None


def test_a_server_that_is_away_while_a_run_ends_gets_the_result_when_it_is_back(
    production_site: ProductionSite, postgres: Postgres
) -> None:
    site = production_site
    submit(site, stage_s=0.7, value=0.75)
    site.worker_start()
    reach(site, "MEASURING")
    out = site.home / "runs" / site.run_now()["id"] / "out"
    postgres.stop()
    try:
        ends = time.monotonic() + 60
        while not (out / "receipt.json").exists() and time.monotonic() < ends:
            time.sleep(0.05)
        time.sleep(1)  # the worker has seen the end of its evaluator by now, and has nobody to tell
    finally:
        postgres.start()
    ended_once(site, attempt=1, value=0.75)


def test_the_queue_of_record_keeps_its_promises_on_postgresql(postgres: Postgres) -> None:
    """Claims that race, fencing, transitions, the reaper, the audit log: the same tests, on production's database."""
    postgres.create("palimpsest")
    environment = os.environ | {"TEST_DATABASE_URL": postgres.url("palimpsest")}
    environment.pop("PALIMPSEST_HOME", None)
    files = ["tests/leaderboard/test_queue.py", "tests/leaderboard/test_audit.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *files, "-k", "not only_what_the_table"],
        cwd=ROOT,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
