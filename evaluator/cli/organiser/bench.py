"""`bench`: measure the evaluator on this machine; each subject prints its figures and whether its targets hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from evaluator.cli.organiser.errors import clear_errors
from evaluator.home import Home
from evaluator.measures.refusal.report import refusal_report
from evaluator.performance.engine import engine_bench
from evaluator.performance.statistics import TARGET_CPU_S, TARGET_MB, statistics_speed
from evaluator.performance.wall import wall_bench

#: Exit status when a figure misses its target.
MISSED = 1


def _engine(rounds: int, write: Path | None) -> bool:
    found = engine_bench(rounds=rounds, say=lambda text: typer.echo(text, err=True))
    typer.echo(found.table())
    if write is not None:
        found.write(write)
    return found.passed


def _statistics(rounds: int, write: Path | None) -> bool:
    if write is not None:
        raise ValueError("write: the figures of statistics are printed only; leave --write out")
    found = sorted((statistics_speed() for _ in range(rounds)), key=lambda figures: figures["cpu_s"])[rounds // 2]
    typer.echo(json.dumps(found, indent=2))
    return found["cpu_s"] < TARGET_CPU_S and found["peak_mb"] < TARGET_MB


def _refusal(rounds: int, write: Path | None) -> bool:
    if write is not None:
        raise ValueError("write: the figures of refusals are printed only; leave --write out")
    text, passed = refusal_report()
    typer.echo(text)
    return passed


def _wall(rounds: int, write: Path | None) -> bool:
    if write is not None:
        raise ValueError("write: the figures of the wall are printed only; leave --write out")
    found = wall_bench(Home.from_environment(), rounds=rounds, say=lambda text: typer.echo(text, err=True))
    typer.echo(found.table())
    return found.passed


BENCHES: dict[str, Callable[[int, Path | None], bool]] = {
    "engine": _engine,
    "statistics": _statistics,
    "refusal": _refusal,
    "wall": _wall,
}


def bench(
    what: Annotated[str, typer.Argument(help="one of: engine, statistics, refusal, wall")] = "engine",
    rounds: Annotated[int, typer.Option(min=1, help="interleaved rounds; the median counts")] = 3,
    write: Annotated[Path | None, typer.Option(help="a Markdown file whose measured part is replaced")] = None,
) -> None:
    """Measure, print the figures, and exit with 1 when a target is missed. A busy machine is refused."""
    if what not in BENCHES:
        raise typer.BadParameter(f"what: {what!r} is unknown; known: {', '.join(BENCHES)}")
    with clear_errors():
        passed = BENCHES[what](rounds, write)
    if not passed:
        raise typer.Exit(MISSED)
