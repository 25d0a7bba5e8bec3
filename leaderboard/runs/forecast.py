"""When a waiting run will start: a guess from what runs now and from how long such runs took, in coarse words.

What it reads of finished runs are the same steps of duration that everybody sees of them, also on a hidden split, and
what it says is coarser still; the progress that a method reports is never read. So nothing leaks that is not shown.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from evaluator.contract.disclosure import duration_middle_s
from leaderboard.runs.models import Run
from leaderboard.runs.selectors import run_claimable, workers_alive
from leaderboard.runs.states import ACTIVE, RunState

#: So many of the last scored runs say how long a run takes; so many of one kind say it for that kind.
_LAST, _ENOUGH = 200, 3
_WORDS_S = (
    (60, "within a minute"),
    (300, "in 1–5 minutes"),
    (900, "in 5–15 minutes"),
    (3600, "in 15–60 minutes"),
    (3 * 3600, "in 1–3 hours"),
    (12 * 3600, "in 3–12 hours"),
)
_LONGEST = "in more than 12 hours"


@dataclass(frozen=True)
class Place:
    """Where a run stands: 1 is claimed next. `expected_start` is empty when nobody can tell."""

    position: int
    expected_start: str


def queue_places() -> dict[str, Place]:
    """The place of every run that waits for a worker, by its id. 4 queries for any number of runs."""
    waiting = list(_slim(run_claimable()))
    if not waiting:
        return {}
    workers = workers_alive()
    typical = _Typical.read()
    if not workers or not typical.known:
        return {run.id: Place(number, "") for number, run in enumerate(waiting, start=1)}
    now = timezone.now()
    active = list(_slim(Run.objects.filter(state__in=ACTIVE)))
    hosts = {worker.host for worker in workers}
    slots = max(len(active), len(hosts) * settings.RUNS_PER_HOST)
    starts = starts_forecast(
        busy_s=[_left_s(run, typical.seconds(run), now) for run in active],
        idle=slots - len(active),
        waiting_s=[typical.seconds(run) for run in waiting],
    )
    return {
        run.id: Place(number, start_words(start))
        for number, (run, start) in enumerate(zip(waiting, starts, strict=True), start=1)
    }


def queue_place(run: Run) -> Place | None:
    """The place of one run; None when it does not wait for a worker."""
    return queue_places().get(run.id) if run.state == RunState.QUEUED else None


def starts_forecast(*, busy_s: Iterable[float], idle: int, waiting_s: Iterable[float]) -> list[float]:
    """In how many seconds each waiting run starts, first first, when a slot that gets free takes the next.

    `busy_s`: what is left of each run at work; `waiting_s`: how long each waiting run will take.
    """
    slots = [0.0] * idle + list(busy_s)
    heapq.heapify(slots)
    starts = []
    for length in waiting_s:
        starts.append(slots[0])
        heapq.heapreplace(slots, slots[0] + length)
    return starts


def start_words(seconds: float) -> str:
    """A range, never a number."""
    return next((words for limit, words in _WORDS_S if seconds < limit), _LONGEST)


def _slim(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Without logs and scorecards, which this reads for every page of every run that waits."""
    return runs.select_related("submission").only("release", "started_at", "submission__method")


def _left_s(run: Run, typical_s: float, now: datetime) -> float:
    """What is left of a run at work; one that takes longer than usual may take half as long again."""
    elapsed = (now - run.started_at).total_seconds() if run.started_at else 0.0
    return max(typical_s - max(elapsed, 0.0), typical_s / 2 if elapsed > typical_s else 0.0)


@dataclass(frozen=True)
class _Typical:
    """Median durations of the last scored runs, in steps: of a method on a release, of a release, of all."""

    of_method: Mapping[tuple[int, int], float]
    of_release: Mapping[int, float]
    of_all: float

    @property
    def known(self) -> bool:
        return self.of_all > 0

    @classmethod
    def read(cls) -> _Typical:
        scored = Run.objects.filter(state=RunState.SCORED, started_at__isnull=False, finished_at__isnull=False)
        rows = scored.order_by("-finished_at").values_list(
            "release_id", "submission__method_id", "started_at", "finished_at"
        )
        methods: dict[tuple[int, int], list[float]] = defaultdict(list)
        releases: dict[int, list[float]] = defaultdict(list)
        for release, method, started, finished in rows[:_LAST]:
            if started is None or finished is None:
                continue
            step = duration_middle_s((finished - started).total_seconds())
            methods[release, method].append(step)
            releases[release].append(step)
        return cls(
            {key: median(steps) for key, steps in methods.items() if len(steps) >= _ENOUGH},
            {key: median(steps) for key, steps in releases.items()},
            median([step for steps in releases.values() for step in steps]) if releases else 0.0,
        )

    def seconds(self, run: Run) -> float:
        key = (run.release_id, run.submission.method_id)
        return self.of_method.get(key) or self.of_release.get(run.release_id) or self.of_all
