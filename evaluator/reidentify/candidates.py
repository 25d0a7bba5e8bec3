"""The facts that a hidden split may hold, as everybody can list them, and what the base says to each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.benchmark.bases import base_prepare
from evaluator.benchmark.battery import Battery, world_make
from evaluator.benchmark.build import base_lm, known_table_build
from evaluator.benchmark.catalogue import Benchmark, benchmark_get
from evaluator.benchmark.known import KnownTable
from evaluator.benchmark.pool import POOL_SHARE, Plan, Pool, candidates_of, is_public, parts_of
from evaluator.benchmark.secret import split_secret
from evaluator.home import Home
from evaluator.measures.metrics.board import FloatArray
from evaluator.model.engine.primitives import PRIMITIVES
from evaluator.probes import Fact, probes_write
from evaluator.trace import trace_read, trace_write


@dataclass(frozen=True)
class Candidates:
    """What can be listed: `keys` and `subjects` of the facts that the base knows, and what it made of each one's
    verbatim question, as a trace row.
    """

    keys: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(str(row["subject"]) for row in self.rows)

    def values(self, name: str) -> FloatArray:
        """A value of every candidate, (n,); NaN where the base has none."""
        return np.array([np.nan if row[name] is None else float(row[name]) for row in self.rows])


def candidates_find(home: Home, name: str, folder: Path, *, threads: int = 2) -> Candidates:
    """Ask the base for all facts of the pool of hidden splits, and then for its values on each that it knows.

    What was asked is kept in `folder` and in the data folder of `home`: the search goes on where it was stopped.
    """
    benchmark = benchmark_get(name)
    known_table_build(home, name, threads=threads)
    base = base_prepare(home, benchmark.base)
    table = KnownTable.load(home, name, base.sha256)
    facts = [f for f in benchmark.facts() if f.key in table.known and not is_public(f.subject)]
    trace = folder / "candidates.parquet"
    if not trace.is_file():
        from evaluator.tasks.measure import measure  # noqa: PLC0415 - loads torch

        folder.mkdir(parents=True, exist_ok=True)
        secret = split_secret(home, "public")
        with base_lm(base, threads, folder / PRIMITIVES) as lm:
            world = world_make(benchmark, (), secret, lm, public=True)
            plain = Battery(benchmark, world, secret, "public", ask=lambda _: ()).plain
            probes_write(folder / "candidates.jsonl", [plain(fact, "verbatim") for fact in facts])
            trace_write(trace, measure(lm, folder / "candidates.jsonl"))
    return Candidates(tuple(fact.key for fact in facts), tuple(trace_read(trace)))


def forget_draws(home: Home, name: str, size: int, count: int) -> Iterator[frozenset[str]]:
    """The keys of forget sets as `count` builds with secrets of their own would choose them."""
    benchmark = benchmark_get(name)
    base = base_prepare(home, benchmark.base)
    known = KnownTable.load(home, name, base.sha256).known
    for _ in range(count):
        yield frozenset(fact.key for fact in _forget(benchmark, known, size))


def _forget(benchmark: Benchmark, known: set[str], size: int) -> Sequence[Fact]:
    candidates = candidates_of(benchmark, "hidden", secrets.token_bytes(32))
    streams = {relation: iter([f for f in facts if f.key in known]) for relation, facts in candidates.items()}
    return parts_of(Pool(streams, share=POOL_SHARE), replace(Plan.of(size), neighbour=0, retain=0, given=0))["forget"]
