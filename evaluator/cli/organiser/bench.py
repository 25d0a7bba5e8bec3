"""`bench`: measure the evaluator on this machine; each subject prints its figures and whether its targets hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from evaluator.benchmark.bases import base_prepare
from evaluator.cli.organiser.errors import clear_errors
from evaluator.home import Home
from evaluator.measures.refusal.report import refusal_report
from evaluator.performance.card import card_bench, card_text, card_write, device_require
from evaluator.performance.engine import engine_bench
from evaluator.performance.growth import growth_bench
from evaluator.performance.growth_report import growth_text, growth_write
from evaluator.performance.statistics import TARGET_CPU_S, TARGET_MB, statistics_speed
from evaluator.performance.wall import wall_bench

#: Exit status when a figure misses its target.
MISSED = 1
DEFAULT_BASE = "smollm2-135m-instruct"


@dataclass(frozen=True)
class Options:
    """What was asked for. `bases` and `device` are the card's."""

    rounds: int
    write: Path | None
    bases: tuple[Path, ...]
    device: str


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _engine(options: Options) -> bool:
    found = engine_bench(rounds=options.rounds, say=_say)
    typer.echo(found.table())
    if options.write is not None:
        found.write(options.write)
    return found.passed


def _growth(options: Options) -> bool:
    found = growth_bench(Home.from_environment(), rounds=options.rounds, say=_say)
    typer.echo(growth_text(found, rounds=options.rounds))
    if options.write is not None:
        growth_write(options.write, found, rounds=options.rounds)
    return True


def _gpu(options: Options) -> bool:
    device_require(options.device)  # before a base is made
    bases = options.bases or (base_prepare(Home.from_environment(), DEFAULT_BASE, say=_say).path,)
    found = card_bench(bases, device=options.device, rounds=options.rounds, say=_say)
    typer.echo(card_text(found))
    if options.write is not None:
        card_write(options.write, found)
    return all(report.passed for report in found)


def _statistics(options: Options) -> bool:
    _printed_only("statistics", options)
    found = sorted((statistics_speed() for _ in range(options.rounds)), key=lambda figures: figures["cpu_s"])
    middle = found[options.rounds // 2]
    typer.echo(json.dumps(middle, indent=2))
    return middle["cpu_s"] < TARGET_CPU_S and middle["peak_mb"] < TARGET_MB


def _refusal(options: Options) -> bool:
    _printed_only("refusals", options)
    text, passed = refusal_report()
    typer.echo(text)
    return passed


def _wall(options: Options) -> bool:
    _printed_only("the wall", options)
    found = wall_bench(Home.from_environment(), rounds=options.rounds, say=_say)
    typer.echo(found.table())
    return found.passed


def _printed_only(what: str, options: Options) -> None:
    if options.write is not None:
        raise ValueError(f"write: the figures of {what} are printed only; leave --write out")


#: Each subject, and its rounds where none are asked for: a size of growth takes many minutes.
BENCHES: dict[str, tuple[Callable[[Options], bool], int]] = {
    "engine": (_engine, 3),
    "growth": (_growth, 1),
    "gpu": (_gpu, 3),
    "statistics": (_statistics, 3),
    "refusal": (_refusal, 3),
    "wall": (_wall, 3),
}


def bench(
    what: Annotated[str, typer.Argument(help=f"one of: {', '.join(BENCHES)}")] = "engine",
    rounds: Annotated[
        int | None, typer.Option(min=1, help="interleaved rounds; the median counts (3; of growth 1)")
    ] = None,
    write: Annotated[Path | None, typer.Option(help="a Markdown file whose measured part is replaced")] = None,
    base: Annotated[
        list[Path] | None, typer.Option(help="of gpu: a base model's folder; may be repeated (the 135M base)")
    ] = None,
    device: Annotated[str, typer.Option(help="of gpu: cuda, cuda:1, …; cpu tries the way through")] = "cuda",
) -> None:
    """Measure, print the figures, and exit with 1 when a target is missed. A busy machine is refused."""
    if what not in BENCHES:
        raise typer.BadParameter(f"what: {what!r} is unknown; known: {', '.join(BENCHES)}")
    run, usual = BENCHES[what]
    with clear_errors():
        if what != "gpu" and (base or device != "cuda"):
            raise ValueError(f"base, device: are for gpu alone; leave them out for {what}")
        passed = run(Options(rounds or usual, write, tuple(base or ()), device))
    if not passed:
        raise typer.Exit(MISSED)
