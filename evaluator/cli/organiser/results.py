"""Commands on results: score again, rank a board, verify a receipt."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluator.analysis.compare import traces_compare
from evaluator.analysis.explain import TraceBoard, item_explain, token_texts, trace_rows
from evaluator.analysis.rank import RankSpec
from evaluator.analysis.rank import rank as do_rank
from evaluator.cli.organiser.errors import clear_errors
from evaluator.cli.organiser.explained import comparison_text, explanation_text, item_change_text
from evaluator.contract import Receipt
from evaluator.home import Home, write_atomically
from evaluator.measures.score import probe_table
from evaluator.measures.statistics import Resampler, metric_intervals
from evaluator.receipt import receipt_verify
from evaluator.trace import is_withheld


def score(
    trace: Annotated[Path, typer.Argument(help="a trace.parquet, complete or by outcomes")],
    key: Annotated[
        str, typer.Option(help="resampling key; any text gives valid intervals, the release's own repeats its card")
    ] = "score",
    explain: Annotated[
        str | None, typer.Option(help="an item_id: its primitives, its values, and how it moves each metric")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="an older trace of the same release: which metrics differ, and by which items")
    ] = None,
    base: Annotated[Path | None, typer.Option(help="the base model's folder: shows the tokens' text")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="explanations as JSON instead of text")] = False,
) -> None:
    """Compute every metric of a trace again, without a new run, as JSON; or explain one item, or a difference."""
    with clear_errors():
        rows = trace_rows(trace)
        if against is not None:
            _show_difference(rows, trace_rows(against), item=explain, base=base, as_json=as_json)
            return
        if explain is not None:
            _show_item(rows, explain, base=base, as_json=as_json)
            return
        typer.echo(json.dumps(_scores(rows, key), indent=2, allow_nan=False))


def _scores(rows: list[dict[str, Any]], key: str) -> dict[str, dict[str, float | None]]:
    """Every metric with its interval. Outcomes alone name no subject to draw: what they tell has no interval."""
    if is_withheld(rows):
        board = TraceBoard(rows)
        return {
            name: {"value": value, "low": None, "high": None} for name, value in board.metrics(board.totals).items()
        }
    table = probe_table(rows)
    found = metric_intervals(table, Resampler(table, key=key))
    return {
        name: {"value": found.value[name], "low": found.low[name], "high": found.high[name]} for name in found.value
    }


def _splitter(base: Path | None) -> Callable[[str, str, int], list[str] | None] | None:
    """The base's tokenizer as `item_explain` wants it. Raises `OSError` when the folder holds none."""
    if base is None:
        return None
    from transformers import AutoTokenizer  # noqa: PLC0415 - loads transformers

    if not base.is_dir():
        raise OSError(f"base: {base} is not a folder")
    return partial(token_texts, AutoTokenizer.from_pretrained(base, trust_remote_code=False, local_files_only=True))  # nosec B615 # a local folder


def _show_item(rows: list[dict[str, Any]], item: str, *, base: Path | None, as_json: bool) -> None:
    found = item_explain(rows, item, texts=_splitter(base))
    typer.echo(json.dumps(asdict(found), indent=2, allow_nan=False) if as_json else explanation_text(found))


def _show_difference(
    new: list[dict[str, Any]], old: list[dict[str, Any]], *, item: str | None, base: Path | None, as_json: bool
) -> None:
    """What differs; with `item` that one alone, and what it is in each of the two traces."""
    found = traces_compare(new, old)
    if item is None:
        typer.echo(json.dumps(asdict(found), indent=2, allow_nan=False) if as_json else comparison_text(found))
        return
    texts = _splitter(base)
    both = {name: item_explain(rows, item, texts=texts) for name, rows in (("old", old), ("new", new))}
    change = next((change for change in found.items if change.item_id == item), None)
    if as_json:
        shown = {"change": None if change is None else asdict(change), **{k: asdict(v) for k, v in both.items()}}
        typer.echo(json.dumps(shown, indent=2, allow_nan=False))
        return
    typer.echo(item_change_text(change) if change is not None else f"{item} is the same in both traces")
    for name, explanation in both.items():
        typer.echo(f"\n---- {name}\n{explanation_text(explanation)}")


def rank(
    spec: Annotated[Path, typer.Argument(help="entries and their traces")],
    out: Annotated[Path, typer.Option(help="where the result goes")],
) -> None:
    """Rank the entries of a board: intervals, ties, Pareto front."""
    with clear_errors():
        result = do_rank(RankSpec.model_validate_json(spec.read_text()), Home.from_environment())
        write_atomically(out, result.model_dump_json() + "\n")


def verify(
    receipt: Annotated[Path, typer.Argument(help="a receipt.json")],
    key: Annotated[Path | None, typer.Option(help="a file of trusted public keys, base64, one a line")] = None,
) -> None:
    """Check a receipt's signature offline."""
    with clear_errors(1):
        parsed = Receipt.model_validate_json(receipt.read_text())
        receipt_verify(parsed, trusted_keys=key.read_text() if key else None)
    trust = "by a trusted key" if key else f"by key {parsed.public_key} (compare it with the site's, or give --key)"
    typer.echo(f"valid: run {parsed.run_id} on {parsed.release}, signed {parsed.issued_at} {trust}")
