"""How long the statistics of a large board take: intervals, paired differences and ranks of 200 simulated entries."""

from __future__ import annotations

import time

import numpy as np

from evaluator.measures.metrics.board import MEANS
from evaluator.measures.statistics import (
    ProbeTable,
    Resampler,
    board_intervals,
    detectable_difference,
    paired_differences,
    rank_entries,
)
from evaluator.performance.machine import peak_mb, peak_reset

#: A board of 200 entries, 1,000 probes and 10,000 resamples: seconds of one core, and memory.
TARGET_CPU_S = 10.0
TARGET_MB = 1500.0


def simulated_board(entries: int = 200, subjects: int = 100, *, seed: int = 0) -> dict[str, ProbeTable]:
    """Entries of differing strength; a subject has four probes to forget, two neighbours, two retained, two of utility.

    Every value column is 0 or 1 at a rate of the entry's own; nothing is meant by it but work.
    """
    rng = np.random.default_rng(seed)
    per_subject = {"verbatim": 1, "paraphrase": 3, "neighbour": 2, "retain": 2, "choice": 1, "text": 1}
    kinds = tuple(kind for kind, count in per_subject.items() for _ in range(count * subjects))
    keys = tuple(f"{kind}-{n % subjects}" for n, kind in enumerate(kinds))
    keys = tuple(key.replace("paraphrase", "verbatim") for key in keys)
    correct = tuple(bool(known) for known in rng.random(len(kinds)) < 0.9)
    columns = sorted({mean.value for mean in MEANS.values()})
    return {
        f"entry-{number:03d}": ProbeTable(
            keys, kinds, correct, {name: (rng.random(len(kinds)) < rate).astype(np.float64) for name in columns}
        )
        for number, rate in enumerate(rng.uniform(0.05, 0.95, entries))
    }


def statistics_speed(entries: int = 200, subjects: int = 100, resamples: int = 10_000) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of ranking a simulated board; making it is not timed.

    One core is measured with OMP_NUM_THREADS=1; CPU seconds are the sum over all.
    """
    tables = simulated_board(entries, subjects)
    peak_reset()
    wall, cpu = time.perf_counter(), time.process_time()
    intervals = board_intervals(tables, Resampler(tables["entry-000"], key="bench", resamples=resamples))
    split_wall, split_cpu = time.perf_counter(), time.process_time()
    differences = paired_differences(intervals)
    ranks = rank_entries(intervals, differences)
    detectable_difference(differences)
    end_wall, end_cpu = time.perf_counter(), time.process_time()
    return {
        "entries": entries,
        "probes": len(tables["entry-000"].kind),
        "resamples": resamples,
        "ranks": len({entry.rank for entry in ranks.values()}),
        "intervals_cpu_s": round(split_cpu - cpu, 2),
        "pairs_cpu_s": round(end_cpu - split_cpu, 2),
        "cpu_s": round(end_cpu - cpu, 2),
        "wall_s": round(end_wall - wall, 2),
        "intervals_wall_s": round(split_wall - wall, 2),
        "peak_mb": round(peak_mb(), 1),
    }
