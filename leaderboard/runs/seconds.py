"""Where the seconds of runs went, stage by stage: of one run, and a board's medians. `policies` says who sees it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from evaluator.contract import TIMED_STAGES, RunSeconds
from evaluator.contract.seconds import Decoded, Seconds
from leaderboard.methods.models import Division
from leaderboard.runs.models import Run
from leaderboard.runs.states import RunState


@dataclass(frozen=True)
class StageLine:
    """One stage. `cpu_s`: processor seconds of the evaluator alone; `share`: of the run's seconds, in [0, 1]."""

    label: str
    wall_s: float
    cpu_s: float
    share: float

    @property
    def percent(self) -> str:
        return f"{100 * self.share:.0f} %"


@dataclass(frozen=True)
class SecondsView:
    """A run's stages, those without a second left out; `passes` is 0 where no weights were decoded."""

    lives: int
    wall_s: float
    cpu_s: float
    stages: list[StageLine]
    passes: int
    tokens: int
    guessed: int
    accepted: int
    accepted_a_pass: float


@dataclass(frozen=True)
class DivisionSeconds:
    """The medians of the runs of one division; counts of decoding are of all of them together."""

    division: str
    n_runs: int
    evaluator: str
    medians: SecondsView

    @property
    def caption(self) -> str:
        of = "1 run" if self.n_runs == 1 else f"Medians of {self.n_runs} runs"
        return f"{of}, evaluator {self.evaluator}"


def seconds_view(stored: dict[str, Any]) -> SecondsView | None:
    """The record of a run for a page; None where an older evaluator has left none."""
    return _view(RunSeconds.model_validate(stored)) if stored else None


def seconds_medians(*, release_slug: str) -> list[DivisionSeconds]:
    """Of the scored runs of a release, by division: those of the newest evaluator that keeps such a record."""
    timed = Run.objects.filter(release__slug=release_slug, state=RunState.SCORED).exclude(seconds={})
    newest = timed.order_by("-finished_at").values_list("evaluator", flat=True).first() or ""
    by_division: dict[str, list[RunSeconds]] = defaultdict(list)
    for division, stored in timed.filter(evaluator=newest).values_list("submission__division", "seconds"):
        by_division[division].append(RunSeconds.model_validate(stored))
    return [
        DivisionSeconds(label, len(by_division[value]), newest, _view(_median(by_division[value])))
        for value, label in Division.choices
        if value in by_division
    ]


def _view(found: RunSeconds) -> SecondsView:
    whole = found.whole
    order = [*TIMED_STAGES, *(stage for stage in found.stages if stage not in TIMED_STAGES)]
    lines = [
        StageLine(TIMED_STAGES.get(stage, stage), spent.wall_s, spent.cpu_s, spent.wall_s / whole.wall_s)
        for stage in order
        if (spent := found.stages.get(stage, Seconds())).wall_s > 0
    ]
    decoded = found.decoded
    return SecondsView(
        lives=found.lives,
        wall_s=whole.wall_s,
        cpu_s=whole.cpu_s,
        stages=lines,
        passes=decoded.passes,
        tokens=decoded.tokens,
        guessed=decoded.guessed,
        accepted=decoded.accepted,
        accepted_a_pass=decoded.accepted_a_pass,
    )


def _median(runs: Sequence[RunSeconds]) -> RunSeconds:
    """Stage by stage; so the medians of the stages need not add up to that of the whole."""

    def middle(spent: Sequence[Seconds]) -> Seconds:
        return Seconds(wall_s=median(one.wall_s for one in spent), cpu_s=median(one.cpu_s for one in spent))

    stages = {stage: None for run in runs for stage in run.stages}
    return RunSeconds(
        run_id="",
        whole=middle([run.whole for run in runs]),
        stages={stage: middle([run.stages.get(stage, Seconds()) for run in runs]) for stage in stages},
        decoded=sum((run.decoded for run in runs), start=Decoded()),
    )
