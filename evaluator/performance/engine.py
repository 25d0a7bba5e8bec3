"""The engine beside lm-eval's `hf` and the one-forward-a-metric way: parity first, then interleaved rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator import __version__
from evaluator.benchmark.bases import base_prepare
from evaluator.benchmark.build import release_build
from evaluator.home import Home
from evaluator.performance.machine import processor, require_idle
from evaluator.performance.report import Line, Report
from evaluator.performance.targets import Ceilings, noted, sizes_of, target_lines
from evaluator.performance.worker import Setting
from evaluator.performance.workers import FOREIGN_CORES, Asked, Ended, Say, Worker, rounds_run, worker_open

#: The benchmark, and the size of the public release whose probes the entry that keeps most answers is asked.
BENCHMARK = "pretrained-facts"
RELEASE_SIZE = 10
#: Items of the side-by-side rounds, and of the pass that is held against the machine's rates.
ITEMS = 16
FULL_ITEMS = 40
THREADS = 2
LM_EVAL_BATCHES = ("1", "8", "32", "auto")
#: A batch size that needs longer than this for one try is not the best one. `auto` finds its size by forward passes
#: over the model's whole context, which takes many minutes on a CPU.
TRY_S = 150.0
#: The same for the probes of a release, which are many times as much to answer.
KEPT_BATCHES = ("8", "32", "64")
KEPT_TRY_S = 1200.0
ONE_FORWARD = "one-forward:32"
OURS = "palimpsest"
#: What must hold before anything is timed.
LOGPROB_TOLERANCE = 1e-4
METRIC_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Sizes:
    """How much is measured. `foreign`: cores that others may use during one measurement."""

    items: int = ITEMS
    full_items: int = FULL_ITEMS
    threads: int = THREADS
    batches: tuple[str, ...] = LM_EVAL_BATCHES
    kept_batches: tuple[str, ...] = KEPT_BATCHES
    foreign: float = FOREIGN_CORES


def worst_gap(a: Sequence[float], b: Sequence[float]) -> float:
    """Largest absolute difference; infinite where one is NaN and the other is not."""
    gaps = [0.0 if math.isnan(x) and math.isnan(y) else abs(x - y) for x, y in zip(a, b, strict=True)]
    return max((float("inf") if math.isnan(gap) else gap for gap in gaps), default=0.0)


def differing(a: Sequence[str], b: Sequence[str]) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


def per_token_gap(a: dict[str, list[float]], b: dict[str, list[float]]) -> float:
    """Worst difference of a log-probability a token, nats, between two contenders' answers to `score`."""
    tokens = [max(1, n) for n in a["continuation_tokens"]]
    return worst_gap(*([value / n for value, n in zip(found["answer"], tokens, strict=True)] for found in (a, b)))


def best_batch(
    batches: Sequence[str], tasks: Sequence[Asked], setting: Setting, within_s: float, say: Say, unit: str = "cpu_s"
) -> tuple[str, dict[str, float | None]]:
    """The batch size that lm-eval needs least seconds with, and the seconds of each (None: it took too long).

    `unit`: seconds of the processors (`cpu_s`) or on the wall (`wall_s`).

    Raises `ValueError` when none was done within `within_s` seconds a task.
    """
    spent: dict[str, float | None] = {}
    for batch in batches:
        its = Setting(f"lm-eval:{batch}", setting.base, setting.threads, setting.device, setting.near)
        try:
            with worker_open(its) as worker:
                spent[batch] = sum(
                    worker.ask(asked.task, asked.items, within_s=within_s, **asked.more)[unit] for asked in tasks
                )
        except Ended:
            spent[batch] = None
        took = spent[batch]
        names = " + ".join(asked.task for asked in tasks)
        said = f"not done in {within_s:.0f} s" if took is None else f"{took:.1f} {'CPU-s' if unit == 'cpu_s' else 's'}"
        say(f"lm-eval at batch size {batch}, {names}: {said}")
    done = {batch: seconds for batch, seconds in spent.items() if seconds is not None}
    if not done:
        raise ValueError(
            f"machine: lm-eval was not done in {within_s:.0f} s at any batch size; it is too slow to measure on"
        )
    return min(done, key=lambda batch: done[batch]), spent


def parity_require(lines: Sequence[Line], say: Say) -> None:
    """Nothing is timed before the numbers agree. Raises `ValueError` when they do not."""
    for line in lines:
        say(line.text())
    if missed := [line.text() for line in lines if not line.holds]:
        raise ValueError("parity: " + "; ".join(missed))


def _parity(ours: Worker, lm_eval: Worker, one: Worker, items: int) -> list[Line]:
    per_token = per_token_gap(ours.ask("score", items), lm_eval.ask("score", items))
    texts = differing(ours.ask("generate", items)["answer"], lm_eval.ask("generate", items)["answer"])
    values, generated = ours.ask("suite", items)["answer"]
    reference, reference_generated = one.ask("reference", items)["answer"]
    gaps = {name: worst_gap(values[name], reference[name]) for name in reference}
    worst = max(gaps, key=lambda name: gaps[name])
    return [
        Line("log-probability a token, worst of all items, nats (lm-eval hf)", per_token, LOGPROB_TOLERANCE),
        Line("greedy texts that differ (lm-eval hf)", texts, 0),
        Line("greedy texts that differ (one forward a metric)", differing(generated, reference_generated), 0),
        Line(f"metric value, worst of all items and metrics ({worst})", gaps[worst], METRIC_TOLERANCE),
    ]


def _ceilings(ours: Worker, sizes: Sizes, rounds: int) -> list[Ceilings]:
    """What the machine allows, in a process with no other contender in memory."""
    found = []
    for _ in range(rounds):
        square = ours.ask("gemm")["gflops"]
        scored, generated = ours.ask("score", sizes.full_items), ours.ask("generate", sizes.items)
        square = max(square, ours.ask("gemm")["gflops"])
        products = ours.ask("products", **sizes_of(scored, generated))
        bytes_per_s = ours.ask("memory", how="read")["bytes_per_s"]
        found.append(Ceilings.of(scored, generated, square=square, products=products, bytes_per_s=bytes_per_s))
    return found


def engine_bench(*, rounds: int = 3, say: Say = print) -> Report:
    """Measure and compare. Raises `ValueError` on a busy machine and when parity fails."""

    require_idle()
    home = Home.from_environment()
    base = base_prepare(home, "smollm2-135m-instruct").path
    say(f"building {BENCHMARK}, {RELEASE_SIZE} requests, public, if it is not there")
    card = release_build(home, BENCHMARK, size=RELEASE_SIZE, split="public", threads=THREADS)
    return engine_compare(base, home.release(card.slug), Sizes(), rounds=rounds, say=say)


def engine_compare(base: Path, release: Path, sizes: Sizes, *, rounds: int, say: Say) -> Report:
    """The comparison itself, on a base's folder and a release of it that was built.

    Raises `ValueError` when parity fails, and when others use more than `sizes.foreign` cores again and again.
    """
    ours = Setting(OURS, str(base), sizes.threads)
    tried_tasks = [Asked("", task, sizes.items) for task in ("score", "generate")]
    batch, tried = best_batch(sizes.batches, tried_tasks, ours, TRY_S, say)
    theirs = f"lm-eval:{batch}"
    report = Report(version=__version__, machine=processor(), rounds=rounds, items=sizes.items, tried=tried)
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(worker_open(Setting(name, str(base), sizes.threads)))
            for name in (OURS, theirs, ONE_FORWARD)
        }
        report.parity = _parity(workers[OURS], workers[theirs], workers[ONE_FORWARD], sizes.items)
        parity_require(report.parity, say)
        sides = [(OURS, theirs, "score"), (OURS, theirs, "generate"), (OURS, ONE_FORWARD, "suite")]
        tasks = [Asked(name, task, sizes.items) for *pair, task in sides for name in pair]
        report.figures = rounds_run(workers, tasks, rounds, say, sizes.foreign)
        weights_mb = workers[OURS].weights_mb
    theirs_kept = _kept(report, ours, release, sizes, rounds, say)
    with worker_open(ours) as alone:
        ceilings = _ceilings(alone, sizes, rounds)
    report.targets = target_lines(
        report.figures,
        ours=OURS,
        theirs=theirs,
        theirs_kept=theirs_kept,
        one=ONE_FORWARD,
        weights_mb=weights_mb,
        ceilings=ceilings,
    )
    report.noted = noted(report.figures, ours=OURS, ceilings=ceilings)
    return report


def _kept(report: Report, ours: Setting, release: Path, sizes: Sizes, rounds: int, say: Say) -> str:
    """Add the entry that keeps most answers to a report: parity and figures; the name of lm-eval at its best batch."""
    near = Setting(OURS, ours.base, ours.threads, near=True)
    more: dict[str, Any] = {"release": str(release)}
    batch, report.kept_tried = best_batch(sizes.kept_batches, [Asked("", "kept", more=more)], near, KEPT_TRY_S, say)
    theirs = f"lm-eval:{batch}"
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(worker_open(Setting(name, ours.base, ours.threads, near=True)))
            for name in (OURS, theirs)
        }
        answers = [workers[name].ask("kept", **more)["answer"] for name in (OURS, theirs)]
        report.parity.append(
            Line("greedy texts that differ, of an entry that keeps most answers (lm-eval hf)", differing(*answers), 0)
        )
        parity_require(report.parity[-1:], say)
        tasks = [Asked(name, "kept", more=more) for name in (OURS, theirs)]
        report.figures |= rounds_run(workers, tasks, rounds, say, sizes.foreign)
    return theirs
