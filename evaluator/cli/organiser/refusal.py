"""Commands on refusals: judge the responses of a file, train the detector again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from evaluator.cli.organiser.errors import clear_errors
from evaluator.home import write_atomically
from evaluator.measures.refusal.detector import WEIGHTS
from evaluator.measures.refusal.records import explanation, judgements, records_read
from evaluator.measures.refusal.report import refusal_report as report
from evaluator.measures.refusal.training import refusal_train as train


def refusal(
    source: Annotated[
        Path, typer.Option("--in", help="JSON lines: id, question, subject, aliases, split, response; topic if known")
    ],
    out: Annotated[Path | None, typer.Option(help="where the judgements go, one line of JSON each")] = None,
    explain: Annotated[str | None, typer.Option(help="an id: print why it is judged so, instead of writing")] = None,
) -> None:
    """Judge responses: label, refusal, leak, hallucination, fluency, context, HAR."""
    with clear_errors():
        records = records_read(source)
        if explain is not None:
            record = next((record for record in records if record.id == explain), None)
            if record is None:
                raise ValueError(f"explain: {explain!r} is no id of this file; ids look like {records[0].id!r}")
            typer.echo(json.dumps(explanation(record), indent=2))
            return
        if out is None:
            raise ValueError("out: missing; give --out FILE, or --explain ID")
        write_atomically(out, "".join(judgements(records)))


def refusal_report() -> None:
    """Print how well refusals, leaks, half-refusals and hallucinations are found; exit status 1 on a missed target."""
    with clear_errors():
        text, met = report()
    typer.echo(text)
    if not met:
        raise typer.Exit(1)


def refusal_train(
    out: Annotated[Path | None, typer.Option(help="where the weights go; the shipped file if left out")] = None,
) -> None:
    """Train the detector of refusals again from the train part of the labelled set."""
    with clear_errors():
        trained = train(out or WEIGHTS)
    typer.echo(f"{len(trained.rows):,} features weighed")
