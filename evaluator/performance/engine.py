"""The engine beside lm-eval's `hf` and the one-forward-a-metric way: parity first, then interleaved rounds."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator import __version__
from evaluator.benchmark.bases import base_prepare
from evaluator.home import Home
from evaluator.performance.machine import ForeignLoad, processor, require_idle
from evaluator.performance.report import Line, Report

Say = Callable[[str], None]

#: Items of the side-by-side rounds, and of the pass that is held against the machine's GEMM rate.
ITEMS = 16
FULL_ITEMS = 40
SEED = 7
THREADS = 2
LM_EVAL_BATCHES = ("1", "8", "32", "auto")
#: A batch size that needs longer than this for one try is not the best one. `auto` finds its size by forward passes
#: over the model's whole context, which takes many minutes on a CPU.
TRY_S = 150.0
ONE_FORWARD = "one-forward:32"
OURS = "palimpsest"
#: What must hold: see docs/performance.md.
LOGPROB_TOLERANCE = 1e-4
METRIC_TOLERANCE = 1e-5
MAX_CPU_OF_LM_EVAL = 1 / 2
MAX_CPU_OF_ONE_FORWARD = 1 / 3
MIN_GEMM_SHARE = 0.75
MAX_OVER_WEIGHTS_MB = 1024


class Ended(ValueError):
    """A contender's process that gave no answer."""


class Worker:
    """A contender's process."""

    def __init__(self, name: str, base: Path) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "evaluator.performance.worker", name, str(base), str(THREADS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.weights_mb = float(self._read()["weights_mb"])

    def _read(self, within_s: float | None = None) -> dict[str, Any]:
        assert self.process.stdout is not None
        timer = threading.Timer(within_s or 0, self.process.kill)
        if within_s is not None:
            timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            raise Ended(f"contender: {self.name} ended with status {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, task: str, items: int = ITEMS, *, within_s: float | None = None) -> dict[str, Any]:
        """Figures of one task. Raises `Ended` when the process dies, or is killed after `within_s`."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"task": task, "items": items, "seed": SEED}) + "\n")
        self.process.stdin.flush()
        return self._read(within_s)

    def close(self) -> None:
        with suppress(BrokenPipeError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        self.process.wait(timeout=60)


@contextmanager
def _worker(name: str, base: Path) -> Iterator[Worker]:
    worker = Worker(name, base)
    try:
        yield worker
    finally:
        worker.close()


@dataclass
class Rounds:
    """Figures of one contender's task over all rounds."""

    figures: list[dict[str, Any]] = field(default_factory=list)

    def median(self, name: str) -> float:
        return statistics.median(float(f[name]) for f in self.figures)

    def most(self, name: str) -> float:
        return max(float(f[name]) for f in self.figures)


def worst_gap(a: Sequence[float], b: Sequence[float]) -> float:
    """Largest absolute difference; infinite where one is NaN and the other is not."""
    gaps = [0.0 if math.isnan(x) and math.isnan(y) else abs(x - y) for x, y in zip(a, b, strict=True)]
    return max((float("inf") if math.isnan(gap) else gap for gap in gaps), default=0.0)


def _best_batch(base: Path, say: Say) -> tuple[str, dict[str, float | None]]:
    """The batch size that lm-eval needs least CPU time with, and CPU-seconds of each (None: it took too long)."""
    spent: dict[str, float | None] = {}
    for batch in LM_EVAL_BATCHES:
        try:
            with _worker(f"lm-eval:{batch}", base) as worker:
                spent[batch] = sum(worker.ask(task, within_s=TRY_S)["cpu_s"] for task in ("score", "generate"))
        except Ended:
            spent[batch] = None
        took = spent[batch]
        say(
            f"lm-eval at batch size {batch}: " + (f"not done in {TRY_S:.0f} s" if took is None else f"{took:.1f} CPU-s")
        )
    done = {batch: seconds for batch, seconds in spent.items() if seconds is not None}
    if not done:
        raise ValueError(
            f"machine: lm-eval was not done in {TRY_S:.0f} s at any batch size; it is too slow to measure on"
        )
    return min(done, key=lambda batch: done[batch]), spent


def _parity(ours: Worker, lm_eval: Worker, one: Worker, report: Report, say: Say) -> None:
    """Nothing is timed before the numbers agree. Raises `ValueError` when they do not."""
    a, b = ours.ask("score"), lm_eval.ask("score")
    tokens = [max(1, n) for n in a["continuation_tokens"]]
    per_token = worst_gap(
        [v / n for v, n in zip(a["answer"], tokens, strict=True)],
        [v / n for v, n in zip(b["answer"], tokens, strict=True)],
    )
    texts_a, texts_b = ours.ask("generate")["answer"], lm_eval.ask("generate")["answer"]
    same = sum(x == y for x, y in zip(texts_a, texts_b, strict=True))
    (values, generated), (reference, reference_generated) = ours.ask("suite")["answer"], one.ask("reference")["answer"]
    gaps = {name: worst_gap(values[name], reference[name]) for name in reference}
    worst = max(gaps, key=lambda name: gaps[name])
    report.parity = [
        Line("log-probability a token, worst of all items, nats (lm-eval hf)", per_token, LOGPROB_TOLERANCE),
        Line("greedy texts that differ (lm-eval hf)", len(texts_a) - same, 0),
        Line(
            "greedy texts that differ (one forward a metric)",
            sum(x != y for x, y in zip(generated, reference_generated, strict=True)),
            0,
        ),
        Line(f"metric value, worst of all items and metrics ({worst})", gaps[worst], METRIC_TOLERANCE),
    ]
    for line in report.parity:
        say(line.text())
    if not all(line.holds for line in report.parity):
        raise ValueError("parity: " + "; ".join(line.text() for line in report.parity if not line.holds))


def _rounds(
    workers: dict[str, Worker], tasks: Sequence[tuple[str, str]], rounds: int, say: Say
) -> dict[tuple[str, str], Rounds]:
    """ABBA: every second round goes through the contenders backwards. A disturbed measurement is done again."""
    found: dict[tuple[str, str], Rounds] = {key: Rounds() for key in tasks}
    for number in range(rounds):
        for name, task in tasks if number % 2 == 0 else list(reversed(tasks)):
            for _ in range(3):
                load = ForeignLoad.start()
                figures = workers[name].ask(task)
                foreign = load.cores(figures["cpu_s"])
                if foreign <= 0.25:
                    break
                say(f"round {number + 1}, {name}: {foreign:.2f} cores used by others; measured again")
            else:
                raise ValueError("machine: it did not stay idle for one measurement in three; stop what else runs here")
            found[(name, task)].figures.append(figures)
        say(f"round {number + 1} of {rounds} done")
    return found


def _gemm_share(ours: Worker, rounds: int) -> tuple[float, float]:
    """The machine's GEMM rate in GFLOP/s, and the share of it that a scoring pass of `FULL_ITEMS` items reaches."""
    rates, shares = [], []
    for _ in range(rounds):
        before = ours.ask("gemm")["gflops"]
        full = ours.ask("score", FULL_ITEMS)
        rate = max(before, ours.ask("gemm")["gflops"])
        work = 2 * (full["trunk_parameters"] * full["useful_tokens"] + full["head_parameters"] * full["head_rows"])
        rates.append(rate)
        shares.append(work / full["wall_s"] / 1e9 / rate)
    return statistics.median(rates), statistics.median(shares)


def engine_bench(*, rounds: int = 3, say: Say = print) -> Report:
    """Measure and compare. Raises `ValueError` on a busy machine and when parity fails."""

    require_idle()
    base = base_prepare(Home.from_environment(), "smollm2-135m-instruct").path
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(THREADS)
    os.environ["HF_HUB_OFFLINE"] = "1"
    batch, tried = _best_batch(base, say)
    best = f"lm-eval:{batch}"
    report = Report(version=__version__, machine=processor(), rounds=rounds, items=ITEMS, tried=tried)
    with ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(name, base)) for name in (OURS, best, ONE_FORWARD)}
        _parity(workers[OURS], workers[best], workers[ONE_FORWARD], report, say)
        tasks = [
            (OURS, "score"),
            (best, "score"),
            (OURS, "generate"),
            (best, "generate"),
            (OURS, "suite"),
            (ONE_FORWARD, "suite"),
        ]
        found = _rounds(workers, tasks, rounds, say)
        report.figures = found
        weights = workers[OURS].weights_mb
    # A process of its own, with no other contender in memory.
    with _worker(OURS, base) as ours:
        report.gemm_gflops, share = _gemm_share(ours, rounds)

    def cpu(name: str, *names: str) -> float:
        return sum(found[(name, task)].median("cpu_s") for task in names)

    over = max(found[(OURS, task)].most("peak_mb") for task in ("score", "generate", "suite")) - weights
    report.targets = [
        Line(
            "CPU-seconds of scoring + generation, share of lm-eval hf's",
            cpu(OURS, "score", "generate") / cpu(best, "score", "generate"),
            MAX_CPU_OF_LM_EVAL,
        ),
        Line(
            "CPU-seconds of the suite, share of one forward a metric",
            cpu(OURS, "suite") / cpu(ONE_FORWARD, "suite"),
            MAX_CPU_OF_ONE_FORWARD,
        ),
        Line("scoring rate, share of the GEMM rate", share, MIN_GEMM_SHARE, at_least=True),
        Line("peak memory of the process over the weights, MB", over, MAX_OVER_WEIGHTS_MB),
    ]
    return report
