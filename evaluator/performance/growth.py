"""How measuring one entry grows with the number of requests: each size in its own process, and lines through them."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator import __version__
from evaluator.benchmark.catalogue import benchmark_get, release_slug
from evaluator.contract import ReleaseCard
from evaluator.contract.folder import ROOT
from evaluator.home import Home, write_atomically
from evaluator.performance.machine import ForeignLoad, processor, require_idle
from evaluator.performance.workers import FOREIGN_CORES, Say

THREADS = 2
#: Requests of the public releases that are measured; the toy world, of few lands, for the shape of the curve alone.
SERIES: Mapping[str, Sequence[int]] = {
    "pretrained-facts": (10, 20, 50, 100, 150, 200),
    "toy-world": (2, 5, 8, 10, 13),
}
RESULTS = "growth.json"
#: How often a disturbed size is measured before the bench gives up.
TRIES = 2
Record = dict[str, Any]


@dataclass(frozen=True)
class Missing:
    """A size that can't be built, and why."""

    size: int
    reason: str


@dataclass
class Series:
    """What was measured of one benchmark: by size the records of all rounds."""

    benchmark: str
    found: dict[int, list[Record]] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)

    def median(self, size: int, *path: str) -> float:
        """The median over rounds of a figure by its place in the record; NaN where no round has it."""
        values = []
        for record in self.found[size]:
            value: Any = record
            for name in path:
                value = value.get(name, {}) if isinstance(value, dict) else {}
            if isinstance(value, int | float):
                values.append(float(value))
        return statistics.median(values) if values else math.nan


class Results:
    """The measured sizes, in a file: what was measured before by the same evaluator on the same machine stays."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = json.loads(path.read_text()) if path.is_file() else []

    def find(self, about: Record) -> Record | None:
        """The record that says all of `about`."""
        return next((r for r in self.records if all(r.get(name) == value for name, value in about.items())), None)

    def add(self, record: Record) -> None:
        self.records.append(record)
        write_atomically(self.path, json.dumps(self.records, indent=1) + "\n")


def bench_home(home: Home) -> Home:
    """The bench's own data folder inside another: releases of odd sizes stay out of a site's. Bases are shared."""
    own = Home(home.root / "bench")
    own.root.mkdir(parents=True, exist_ok=True)
    home.models.mkdir(parents=True, exist_ok=True)
    if not own.models.exists():
        own.models.symlink_to(home.models, target_is_directory=True)
    return own


def release_make(home: Home, benchmark: str, size: int) -> ReleaseCard | Missing:
    """The card of a public release, built where it is not there; `Missing` where the base knows too few facts.

    Raises `ValueError` when building fails for another reason.
    """
    environment = os.environ | {"PALIMPSEST_HOME": str(home.root), "HF_HUB_OFFLINE": "1"}
    asked = ["build", "--benchmark", benchmark, "--size", str(size), "--split", "public", "--threads", str(THREADS)]
    done = subprocess.run(
        [sys.executable, "-m", "evaluator", *asked],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("error: ")), "")
        if said.startswith("error: size:"):
            return Missing(size, said.removeprefix("error: size:").strip())
        raise ValueError(f"release: {benchmark} with {size} requests can't be built: {done.stderr.strip()[-600:]}")
    return ReleaseCard.model_validate_json(
        (home.release(release_slug(benchmark, size, "public")) / "card.json").read_text()
    )


def size_measure(base: Path, release: Path, threads: int, foreign: float, say: Say) -> Record:
    """One entry measured in a process of its own. Raises `ValueError` when it fails, or others used more than `foreign`
    cores meanwhile, twice.
    """
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    for _ in range(TRIES):
        load = ForeignLoad.start()
        done = subprocess.run(
            [sys.executable, "-m", "evaluator.performance.measuring", str(base), str(release), str(threads)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ValueError(f"release: {release.name} could not be measured: {done.stderr.strip()[-600:]}")
        found: Record = json.loads(done.stdout.splitlines()[-1])
        cores = load.cores(found["own_cpu_s"])
        if cores <= foreign:
            return found
        say(f"{release.name}: {cores:.2f} cores used by others; measured again")
    raise ValueError("machine: it did not stay idle; stop what else runs here and go on: what was measured is kept")


def growth_bench(
    home: Home,
    *,
    rounds: int = 1,
    say: Say = print,
    series: Mapping[str, Sequence[int]] = SERIES,
    foreign: float = FOREIGN_CORES,
    idle: Callable[[], None] = require_idle,
) -> list[Series]:
    """Build and measure every size that was not measured before.

    `foreign`: cores that others may use during one measurement; `idle`: raises `ValueError` on a busy machine.
    """
    own = bench_home(home)
    results = Results(own.root / RESULTS)
    found = []
    for benchmark, sizes in series.items():
        one = Series(benchmark)
        base = own.models / benchmark_get(benchmark).base
        for size in sizes:
            say(f"{benchmark}, {size} requests: building it, if it is not there")
            card = release_make(own, benchmark, size)
            if isinstance(card, Missing):
                say(f"{benchmark}, {size} requests: missing: {card.reason}")
                one.missing.append(card)
                continue
            for number in range(1, rounds + 1):
                about = {
                    "release": card.slug,
                    "content": card.content_sha256,
                    "evaluator": __version__,
                    "machine": processor(),
                    "threads": THREADS,
                    "round": number,
                }
                record = results.find(about)
                if record is None:
                    idle()
                    measured = size_measure(base, own.release(card.slug), THREADS, foreign, say)
                    record = {**about, "requests": size, **measured}
                    results.add(record)
                one.found.setdefault(size, []).append(record)
                say(f"{benchmark}, {size} requests: {record['whole']['cpu_s']:.0f} CPU-s, {record['peak_mb']:.0f} MB")
        found.append(one)
    return found
