"""Hundreds of submissions through the real queue, with workers killed at random: none is lost, none ends twice."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from typing import Any

import pytest

from tests.chaos.site import Site
from tests.leaderboard.conftest import digest_make, manifest_make

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

FINAL = {"SCORED", "FAILED_METHOD", "FAILED_PLATFORM", "TIMED_OUT", "CANCELLED"}
#: What a submission does, how many of a hundred do it, and how it ends when no worker dies under it.
KINDS = (
    ("ok", 82, "SCORED"),
    ("method-error-unlearning", 8, "FAILED_METHOD"),
    ("timeout-measuring", 4, "TIMED_OUT"),
    ("platform-error-scoring", 3, "FAILED_PLATFORM"),
    ("crash-measuring", 3, "FAILED_PLATFORM"),
)
KILL_AFTER_S = (6.0, 14.0)
WITHIN_S = 2400.0

_SUBMIT_MANY = """
import json, sys
import django; django.setup()
from leaderboard.accounts.models import User
from leaderboard.submissions.create import submission_create
for number, given in enumerate(json.load(sys.stdin)):
    # A submitter has a quota a day.
    user, _ = User.objects.get_or_create(username=f"ada{number // 3}")
    submission_create(user=user, **given)
"""


def submissions(count: int, rng: random.Random) -> list[tuple[str, dict[str, Any]]]:
    names, weights = [kind for kind, _, _ in KINDS], [share for _, share, _ in KINDS]
    found = []
    for number, behaviour in enumerate(rng.choices(names, weights, k=count)):
        manifest = manifest_make(
            name=f"Method {number}", hparams={"behaviour": behaviour, "value": number / 1000, "stage_s": 0.05}
        )
        given = {"image": digest_make(number + 1), "manifest": manifest, "releases": ["toy-world-5"]}
        found.append((behaviour, given | {"tryout": False}))
    return found


def finished(site: Site) -> int:
    marks = ",".join("?" * len(FINAL))
    return int(site.rows(f"select count(*) n from runs_run where state in ({marks})", *FINAL)[0]["n"])


def test_every_submission_ends_once_with_its_own_score_while_workers_are_killed(
    protocol_site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    count = int(os.environ.get("CHAOS_SUBMISSIONS", "500"))
    rng, site = random.Random(7), protocol_site
    site.env |= {"RUNS_PER_HOST": "2", "RUN_NOTIFY_AFTER_S": "2", "RUN_BACKOFF_S": "0.2", "RUN_MAX_ATTEMPTS": "3"}
    asked = submissions(count, rng)
    site.python("-c", _SUBMIT_MANY, stdin=json.dumps([given for _, given in asked]))
    began, kills = time.monotonic(), 0
    while finished(site) < count:
        assert time.monotonic() - began < WITHIN_S, f"{finished(site)} of {count} ended"
        site.worker_start()
        ends = time.monotonic() + rng.uniform(*KILL_AFTER_S)
        while time.monotonic() < ends and finished(site) < count:
            time.sleep(0.2)
        site.worker_kill()
        kills += 1
    took = time.monotonic() - began

    runs = site.rows(
        "select r.id, r.state, r.attempt, s.manifest from runs_run r "
        "join methods_submission s on s.id = r.submission_id"
    )
    ends_of = Counter(
        row["run_id"] for row in site.rows("select run_id, to_state from runs_runevent") if row["to_state"] in FINAL
    )
    states = Counter(row["state"] for row in runs)
    twice = [run for run, times in ends_of.items() if times > 1]
    with capsys.disabled():
        print(
            f"\n{count} submissions, {kills} workers killed, {took:.0f} s: {len(runs)} runs, {dict(states)}, "
            f"{len(twice)} ended twice, {count - len(runs)} lost, {sum(row['attempt'] for row in runs)} attempts"
        )
    assert len(runs) == count
    assert set(states) <= FINAL
    assert set(ends_of) == {row["id"] for row in runs}
    assert twice == []
    scores = {row["run_id"]: row["value"] for row in site.rows("select * from runs_score where key = 'overall'")}
    expected = {kind: state for kind, _, state in KINDS}
    for row in runs:
        hparams = json.loads(row["manifest"])["hparams"]
        # A run under which three workers died is given up as the platform's failure, whatever it would have done.
        assert row["state"] in {expected[hparams["behaviour"]], "FAILED_PLATFORM"}
        if row["state"] == "FAILED_PLATFORM":
            assert row["attempt"] == 3
        assert (row["id"] in scores) == (row["state"] == "SCORED")
        if row["state"] == "SCORED":
            assert scores[row["id"]] == pytest.approx(hparams["value"])
            assert not (site.home / "runs" / row["id"] / "work").exists()
    assert len(site.rows("select id from traces_tracefile")) == states["SCORED"]
    assert states["FAILED_PLATFORM"] <= 0.15 * count
    assert site.processes(f"{site.home}/runs") == []
