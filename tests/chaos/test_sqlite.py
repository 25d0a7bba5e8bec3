"""The embedded database is locked, gone from its place or without room; the worker survives, and each run ends once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.site import Site
from tests.chaos.steps import STAGES, ended_once, reach, submit

pytestmark = pytest.mark.chaos


@contextmanager
def locked(site: Site) -> Iterator[sqlite3.Connection]:
    """Somebody else writes, and does not come to an end."""
    link = sqlite3.connect(site.home / "db.sqlite3", isolation_level=None, timeout=20)
    link.execute("BEGIN IMMEDIATE")
    try:
        yield link
    finally:
        link.execute("ROLLBACK")
        link.close()


@contextmanager
def out_of_place(path: Path) -> Iterator[None]:
    """Who opens the database anew finds a folder; a connection that is open goes on."""
    away = path.with_name("moved-away")
    path.rename(away)
    path.mkdir()
    try:
        yield
    finally:
        path.rmdir()
        away.rename(path)


def test_a_database_locked_for_longer_than_anyone_waits(protocol_site: Site) -> None:
    site = protocol_site
    site.env["SQLITE_BUSY_S"] = "0.3"
    submit(site, stage_s=1, value=0.25)
    site.worker_start()
    for stage in ("LEASED", *STAGES[:-1]):
        reach(site, stage)
        with locked(site):
            time.sleep(0.8)
    reach(site, "SCORING")
    receipt = site.home / "runs" / site.run_now()["id"] / "out" / "receipt.json"
    with locked(site):
        ends = time.monotonic() + 30
        while not receipt.exists() and time.monotonic() < ends:
            time.sleep(0.05)
        time.sleep(1.5)  # all of run_finish falls into the lock
        assert site.state() == "SCORING"
    ended_once(site, attempt=1, value=0.25)
    assert "database is locked" in site.log()


def test_a_database_that_is_out_of_its_place_for_a_while(protocol_site: Site) -> None:
    site = protocol_site
    submit(site, stage_s=1, value=0.5)
    site.worker_start()
    reach(site, "UNLEARNING")
    with out_of_place(site.home / "db.sqlite3"):
        time.sleep(2)
    ended_once(site, value=0.5)
    assert site.worker is not None and site.worker.poll() is None
