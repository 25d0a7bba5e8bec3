"""The broker dies, loses every message, or delivers one too often: runs wait at most, and each is done once."""

from __future__ import annotations

import shutil
import time

import pytest

from leaderboard.core.task_messages import BOARD_PUBLISH, RUN_NEXT, SUBMISSION_INSPECT
from tests.chaos.conftest import ProductionSite
from tests.chaos.servers import Redis
from tests.chaos.site import Site
from tests.chaos.steps import STAGES, ended_once, reach, submit

pytestmark = pytest.mark.chaos


def scored(site: Site, count: int) -> None:
    states = "select state from runs_run"
    site.wait(lambda: [row["state"] for row in site.rows(states)] == ["SCORED"] * count, within_s=90)
    assert site.events().count("LEASED") == site.events().count("SCORED") == count


def test_redis_dies_in_every_state_and_what_is_submitted_while_it_is_dead_is_done_all_the_same(
    production_site: ProductionSite, broker: Redis
) -> None:
    site = production_site
    site.env |= {"RUN_NOTIFY_AFTER_S": "1", "WORKER_SILENT_S": "6"}
    submit(site, stage_s=1)
    site.worker_start()
    for stage in STAGES:
        reach(site, stage)
        broker.kill()
        broker.start()
    scored(site, 1)
    broker.kill()
    began = time.monotonic()
    submit(site, number=2)
    assert time.monotonic() - began < 40  # nobody who submits waits for a dead broker
    scored(site, 2)
    assert "no message came" in site.log()
    broker.start()
    submit(site, number=3)
    scored(site, 3)
    assert site.worker is not None and site.worker.poll() is None


@pytest.mark.slow
def test_a_worker_started_before_its_broker_waits_for_it(production_site: ProductionSite, broker: Redis) -> None:
    site = production_site
    site.env |= {"RUN_NOTIFY_AFTER_S": "1"}
    submit(site)
    broker.kill()
    site.worker_start()
    site.wait(lambda: "Cannot connect to" in site.log(), within_s=60)
    broker.start()
    ended_once(site, attempt=1)


def test_the_embedded_brokers_folder_is_emptied_and_removed(protocol_site: Site) -> None:
    site = protocol_site
    site.env |= {"RUN_NOTIFY_AFTER_S": "1"}
    submit(site, stage_s=0.7)
    for message in (site.home / "broker" / "queue").glob("*.msg"):
        message.unlink()
    site.worker_start()
    reach(site, "UNLEARNING")
    shutil.rmtree(site.home / "broker" / "queue")
    reach(site, "MEASURING")
    submit(site, number=2)
    scored(site, 2)


def test_the_same_message_delivered_many_times_to_two_workers_does_each_run_once(protocol_site: Site) -> None:
    site = protocol_site
    site.env |= {"RUNS_PER_HOST": "4"}
    for number in (1, 2, 3):
        submit(site, number=number, stage_s=0.3, value=number / 10)
    submissions = [row["id"] for row in site.rows("select id from methods_submission")]
    site.deliver(*[(SUBMISSION_INSPECT, ident) for ident in submissions for _ in range(4)])
    site.worker_start()
    site.worker_start()
    site.wait(lambda: len(site.rows("select id from runs_run")) == 3, within_s=60)
    runs = [row["id"] for row in site.rows("select id from runs_run")]
    site.deliver(*[(RUN_NEXT, ident) for ident in runs for _ in range(8)])
    site.wait(lambda: {row["state"] for row in site.rows("select state from runs_run")} == {"SCORED"}, within_s=90)
    site.wait(lambda: bool(site.rows("select id from boards_boardsnapshot")), within_s=60)
    board_settled(site)

    before = history(site)
    site.deliver(*[(RUN_NEXT, ident) for ident in runs], *[(SUBMISSION_INSPECT, ident) for ident in submissions] * 2)
    site.deliver(*[(BOARD_PUBLISH, "toy-world-5")] * 4)
    site.wait(lambda: not list((site.home / "broker" / "queue").glob("*palimpsest.msg")), within_s=30)
    time.sleep(2)
    assert history(site) == before  # a message about what is done already does nothing
    assert site.events().count("LEASED") == site.events().count("SCORED") == 3
    scores = site.rows("select value from runs_score where key = 'overall' order by value")
    assert [row["value"] for row in scores] == pytest.approx([0.1, 0.2, 0.3])


def board_settled(site: Site) -> None:
    """The newest snapshot holds all three runs."""
    newest = "select payload from boards_boardsnapshot order by revision desc limit 1"
    site.wait(lambda: site.rows(newest)[0]["payload"].count('"submission"') == 3, within_s=60)


def history(site: Site) -> list[int]:
    tables = ("runs_run", "runs_runevent", "runs_score", "traces_tracefile", "boards_boardsnapshot")
    return [site.rows(f"select count(*) n from {table}")[0]["n"] for table in tables]
