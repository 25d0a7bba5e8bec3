"""A board's snapshot as files: JSON, CSV, Parquet, LaTeX and BibTeX, all of them from the same payload."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evaluator.contract.board import EXPORTED, BoardRow
from leaderboard.boards.table import Entry, columns_read, entries_read, value_format
from leaderboard.core.spreadsheets import formula_neutralise

_INTEGERS = frozenset(name for name in EXPORTED if BoardRow.model_fields[name].annotation == int | None)
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def rows_flat(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One flat dict a row: the leading fields, then `key`, `key_low`, `key_high` for each column; None is "not run"."""
    columns = columns_read(payload)
    return [_flat(entry, [column.key for column in columns]) for entry in entries_read(payload)]


def _flat(entry: Entry, keys: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(entry, name) for name in EXPORTED}
    for key in keys:
        score = entry.score(key)
        row |= {key: score.value, f"{key}_low": score.low, f"{key}_high": score.high}
    return row


def _header(payload: Mapping[str, Any]) -> list[str]:
    keys = [column.key for column in columns_read(payload)]
    return [*EXPORTED, *(name for key in keys for name in (key, f"{key}_low", f"{key}_high"))]


def board_json(payload: Mapping[str, Any]) -> bytes:
    """The Board JSON as it was published."""
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, indent=1).encode()


def board_csv(payload: Mapping[str, Any]) -> bytes:
    """UTF-8 CSV with a header line; "not run" is an empty cell."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=_header(payload), lineterminator="\r\n")
    writer.writeheader()
    for row in rows_flat(payload):
        writer.writerow({key: "" if value is None else formula_neutralise(value) for key, value in row.items()})
    return buffer.getvalue().encode()


def board_parquet(payload: Mapping[str, Any]) -> bytes:
    """Parquet with typed columns; what the board is and when it was made stand in the file's metadata."""
    texts = set(EXPORTED) - _INTEGERS
    schema = pa.schema(
        [
            pa.field(name, pa.string() if name in texts else pa.int32() if name in _INTEGERS else pa.float64())
            for name in _header(payload)
        ],
        metadata={
            f"palimpsest.{key}": json.dumps(payload.get(key), ensure_ascii=False)
            for key in ("board", "release", "evaluator", "revision", "generated_at", "columns")
        },
    )
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows_flat(payload), schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def latex_escape(text: str) -> str:
    return re.sub(r"[\\&%$#_{}~^]", lambda match: _LATEX[match.group()], text)


def board_latex(payload: Mapping[str, Any]) -> bytes:
    """A `booktabs` table of the headline columns, with intervals; controls below a rule."""
    columns = columns_read(payload)
    columns = tuple(column for column in columns if column.headline) or columns
    entries = entries_read(payload)
    origin = f"{payload['board']}, evaluator {payload['evaluator']}, {payload['generated_at']}"
    lines = [
        f"% {latex_escape(origin)}",
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{rl" + "r" * len(columns) + "}",
        r"\toprule",
        " & ".join(
            ["Rank", "Method"]
            + [latex_escape(c.label) + (r" $\uparrow$" if c.direction == "up" else r" $\downarrow$") for c in columns]
        )
        + r" \\",
        r"\midrule",
    ]
    ranked = [entry for entry in entries if not entry.is_control]
    controls = [entry for entry in entries if entry.is_control]
    for block in (ranked, controls):
        if block is controls and controls and ranked:
            lines.append(r"\midrule")
        for entry in block:
            rank = "--" if entry.rank is None else str(entry.rank) + _span(entry)
            cells = []
            for column in columns:
                score = entry.score(column.key)
                if score.value is None:
                    cells.append("--")
                    continue
                text = latex_escape(value_format(score.value, column.unit))
                if score.low is not None and score.high is not None and not column.unit:
                    text += rf" {{\scriptsize [{score.low:.2f}, {score.high:.2f}]}}"
                cells.append(text)
            lines.append(" & ".join([rank, latex_escape(entry.method), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""]).encode()


def _span(entry: Entry) -> str:
    return rf" {{\scriptsize ({entry.rank_low}--{entry.rank_high})}}" if entry.rank_interval else ""


def bibtex(*, key: str, title: str, url: str, year: str, note: str, authors: list[str] | None = None) -> str:
    """A `@misc` entry; braces keep the capitals of the title."""
    lines = [f"@misc{{{re.sub(r'[^a-zA-Z0-9-]', '', key)},"]
    if authors:
        lines.append(f"  author = {{{latex_escape(' and '.join(authors))}}},")
    lines += [
        f"  title = {{{{{latex_escape(title)}}}}},",
        f"  year = {{{latex_escape(year)}}},",
        f"  howpublished = {{\\url{{{url}}}}},",
        f"  note = {{{latex_escape(note)}}}",
        "}",
    ]
    return "\n".join(lines) + "\n"
