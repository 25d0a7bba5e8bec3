"""A board as a Markdown table that a paper or a page can cite: intervals, and the digest of every receipt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluator.plain import plain_text

#: Hexadecimal digits of a digest that are shown: enough to tell receipts apart, and to find the whole.
_DIGITS = 12
_COST = "unlearn_wall_s"


def board_markdown(board: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """The rows with their headline scores and 95 % intervals; `digests` are SHA-256 of receipts by run."""
    columns = [column for column in board["columns"] if column.get("headline")]
    heads = ["rank", "entry", "kind", *(_cell(column["label"]) for column in columns), "unlearn, s", "receipts"]
    lines = [
        f"Board `{_cell(board['board'])}`, evaluator {_cell(board['evaluator'])}, of {_cell(board['generated_at'])}.",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
    ]
    for row in board["rows"]:
        scores = [_score(row["scores"].get(column["key"])) for column in columns]
        receipts = ", ".join(f"`{digests[run][:_DIGITS]}`" for run in row["runs"])
        cost = (row["scores"].get(_COST) or {}).get("value")
        cells = [_rank(row), f"{_cell(row['method'])} {_cell(row['version'])}", _cell(row["kind"]), *scores]
        lines.append("| " + " | ".join([*cells, "–" if cost is None else f"{cost:g}", receipts]) + " |")
    return "\n".join(lines)


def _rank(row: Mapping[str, Any]) -> str:
    if row["rank"] is None:
        return "–"
    return f"{row['rank']}" if row["rank_low"] in {None, row["rank_high"]} else f"{row['rank_low']}–{row['rank_high']}"


def _score(score: Mapping[str, Any] | None) -> str:
    if score is None or score["value"] is None:
        return "not run"
    if score["low"] is None:
        return f"{score['value']:.2f}"
    return f"{score['value']:.2f} ({score['low']:.2f}–{score['high']:.2f})"


def _cell(value: object) -> str:
    """What a site sent, fit for a cell: neither control characters nor Markdown of its own."""
    text = plain_text(str(value)).replace("\n", " ")
    return "".join("\\" + char if char in r"\`*_[]<>|" else char for char in text)
