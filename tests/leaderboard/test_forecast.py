"""The place of a waiting run and its expected start: right in order, coarse in words, silent where nobody can tell."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from evaluator.contract.disclosure import duration_middle_s
from leaderboard.benchmarks.models import Release
from leaderboard.runs.forecast import queue_place, queue_places, start_words, starts_forecast
from leaderboard.runs.models import Run, Worker
from leaderboard.runs.states import RunState
from tests.leaderboard.conftest import Submit

pytestmark = pytest.mark.django_db

MINUTE = 60.0


def worker_seen(host: str = "one", *, ago_s: float = 1) -> None:
    now = timezone.now()
    Worker.objects.create(name=f"worker:{host}:1", host=host, started_at=now, seen_at=now - timedelta(seconds=ago_s))


def scored(run: Run, *, took_s: float) -> None:
    end = timezone.now() - timedelta(hours=1)
    Run.objects.filter(id=run.id).update(
        state=RunState.SCORED, started_at=end - timedelta(seconds=took_s), finished_at=end
    )


def active(run: Run, *, since_s: float) -> None:
    Run.objects.filter(id=run.id).update(
        state=RunState.MEASURING, started_at=timezone.now() - timedelta(seconds=since_s)
    )


def test_a_slot_that_gets_free_takes_the_next() -> None:
    assert starts_forecast(busy_s=[], idle=1, waiting_s=[10, 20, 5]) == [0, 10, 30]
    assert starts_forecast(busy_s=[100, 40], idle=0, waiting_s=[10, 20, 5]) == [40, 50, 70]
    assert starts_forecast(busy_s=[30], idle=1, waiting_s=[100, 100]) == [0, 30]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "within a minute"),
        (299, "in 1–5 minutes"),
        (900, "in 15–60 minutes"),
        (3600, "in 1–3 hours"),
        (40_000, "in 3–12 hours"),
        (10**6, "in more than 12 hours"),
    ],
)
def test_a_start_is_a_range_in_words(seconds: float, words: str) -> None:
    assert start_words(seconds) == words


def test_runs_wait_for_what_is_left_of_the_ones_before_them(submit: Submit, public: Release) -> None:
    worker_seen()
    done, going, *waiting = (submit(public, name=f"Method {n}").runs.get() for n in range(5))
    scored(done, took_s=12 * MINUTE)  # shown to everybody as 5–15 min, so: 10
    active(going, since_s=7 * MINUTE)
    places = [queue_place(run) for run in waiting]
    assert [place and place.position for place in places] == [1, 2, 3]
    assert [place and place.expected_start for place in places] == [
        "in 1–5 minutes",
        "in 5–15 minutes",
        "in 15–60 minutes",
    ]
    assert queue_place(done) is None and queue_place(going) is None


def test_a_method_that_is_always_slower_counts_as_slow_after_three_scored_runs(
    submit: Submit, public: Release, settings: Any
) -> None:
    worker_seen()
    settings.SUBMISSIONS_PER_DAY = 50
    slow = submit(public, name="Slow", n_seeds=4)
    for run in slow.runs.order_by("seed")[:3]:
        scored(run, took_s=50 * MINUTE)
    for number in range(9):
        scored(submit(public, name=f"Quick {number}").runs.get(), took_s=20)
    last = submit(public, name="Last").runs.get()
    first, second = (queue_place(slow.runs.get(state=RunState.QUEUED)), queue_place(last))
    assert first and first.expected_start == "within a minute"
    assert second and second.expected_start == "in 15–60 minutes"


def test_nobody_can_tell_without_a_worker_or_without_a_scored_run(submit: Submit, public: Release) -> None:
    run, done = submit(public, name="A").runs.get(), submit(public, name="B").runs.get()
    worker_seen(ago_s=3600)
    scored(done, took_s=10)
    assert queue_place(run) is not None
    assert queue_places()[run.id].expected_start == ""
    worker_seen("two")
    assert queue_places()[run.id].expected_start == "within a minute"
    Run.objects.filter(id=done.id).update(state=RunState.FAILED_METHOD)
    assert queue_places()[run.id].expected_start == ""


def test_on_a_hidden_split_only_the_shown_steps_of_durations_count(submit: Submit, hidden: Release) -> None:
    """Two durations of one step give one answer, so a method says no more by them than the run's own page does."""
    worker_seen()
    done, first, second = (submit(hidden, name=f"Method {n}").runs.get() for n in range(3))
    said = set()
    for took_s in (301, 500, 899):
        scored(done, took_s=took_s)
        place = queue_place(second)
        assert place is not None
        said.add(place.expected_start)
    assert said == {"in 5–15 minutes"}
    assert duration_middle_s(301) == duration_middle_s(899) == 600
    for fraction in (0.0, 0.99):
        active(first, since_s=60)
        Run.objects.filter(id=first.id).update(fraction=fraction, message="almost done")
        place = queue_place(second)
        assert place is not None and place.expected_start == "in 5–15 minutes"


def test_a_run_that_waits_for_its_try_out_has_no_place_yet(submit: Submit, public: Release, hidden: Release) -> None:
    submission = submit(hidden, tryout=True)
    tryout, waiting = submission.runs.get(release=public), submission.runs.get(release=hidden)
    assert queue_place(tryout) is not None
    assert queue_place(waiting) is None


def test_the_places_of_any_number_of_runs_cost_four_queries(
    submit: Submit, public: Release, django_assert_max_num_queries: Any
) -> None:
    worker_seen()
    for number in range(6):
        last = submit(public, name=f"Method {number}").runs.get()
    scored(last, took_s=10)
    with django_assert_max_num_queries(4):
        assert len(queue_places()) == 5
