"""Commands on results: score again, rank a board, verify a receipt, benchmarks of speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from evaluator.commands.errors import clear_errors
from evaluator.contract import Receipt
from evaluator.home import write_atomically


def score(
    trace: Annotated[Path, typer.Argument(help="a trace.parquet, complete or redacted")],
    key: Annotated[
        str, typer.Option(help="resampling key; any text gives valid intervals, the release's own repeats its card")
    ] = "score",
    explain: Annotated[str | None, typer.Option(help="an item_id: show its primitives and values")] = None,
) -> None:
    """Compute every metric of a trace again, without a new run; print JSON."""
    from evaluator.pipeline.score import probe_table
    from evaluator.statistics import Resampler, metric_intervals
    from evaluator.trace import trace_read

    with clear_errors():
        rows = trace_read(trace)
        if explain is not None:
            row = next((r for r in rows if r["item_id"] == explain), None)
            if row is None:
                raise ValueError(
                    f"explain: {explain!r} is not an item of this trace; items look like {rows[0]['item_id']!r}"
                )
            typer.echo(json.dumps(row, indent=2, ensure_ascii=False))
            return
        table = probe_table(rows)
        found = metric_intervals(table, Resampler(table, key=key))
    typer.echo(
        json.dumps(
            {
                name: {"value": found.value[name], "low": found.low[name], "high": found.high[name]}
                for name in found.value
            },
            indent=2,
        )
    )


def rank(
    spec: Annotated[Path, typer.Argument(help="entries and their traces")],
    out: Annotated[Path, typer.Option(help="where the result goes")],
) -> None:
    """Rank the entries of a board: intervals, ties, Pareto front."""
    from evaluator.pipeline.rank import RankSpec
    from evaluator.pipeline.rank import rank as do_rank

    with clear_errors():
        result = do_rank(RankSpec.model_validate_json(spec.read_text()))
        write_atomically(out, json.dumps(result, allow_nan=False) + "\n")


def verify(
    receipt: Annotated[Path, typer.Argument(help="a receipt.json")],
    key: Annotated[Path | None, typer.Option(help="the trusted public key (base64 file)")] = None,
) -> None:
    """Check a receipt's signature offline."""
    from evaluator.receipt import receipt_verify

    with clear_errors(1):
        parsed = Receipt.model_validate_json(receipt.read_text())
        receipt_verify(parsed, trusted_key=key.read_text() if key else None)
    trust = "by the trusted key" if key else f"by key {parsed.public_key} (compare it with the site's, or give --key)"
    typer.echo(f"valid: run {parsed.run_id} on {parsed.release}, signed {parsed.issued_at} {trust}")


def bench(what: Annotated[str, typer.Argument(help="engine")] = "engine") -> None:
    """Measure speed on this machine: tokens a second of scoring and of greedy decoding."""
    from evaluator.commands.speed import engine_speed

    if what != "engine":
        raise typer.BadParameter(f"what: {what!r} is unknown; known: engine")
    with clear_errors():
        typer.echo(json.dumps(engine_speed(), indent=2))


def register(app: typer.Typer) -> None:
    for command in (score, rank, verify, bench):
        app.command()(command)
