"""Explain: from a scorecard back to one probe's values and primitives. Pure."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluator.contract.values import COMPARED, ERASED, VALUE_NAMES, VALUES
from evaluator.measures.metrics.board import METRICS, FloatArray
from evaluator.measures.metrics.utility import choice_values, text_values
from evaluator.measures.probe_values import probe_values
from evaluator.measures.score import probe_table
from evaluator.measures.statistics import Resampler
from evaluator.measures.statistics.intervals import means_read
from evaluator.model.under_test import Scored
from evaluator.probes import PLAIN, Probe
from evaluator.trace import TraceRow, is_sealed, trace_read
from evaluator.trace.table import WITHHELD

#: Each value of a probe in one line.
FORMULAS = {value.name: value.formula for value in VALUES} | {
    "logprob_sum": "sum of the tokens' log-probabilities",
}
#: Traces keep log-probabilities in single precision.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Token:
    """One token of the reference. `text`: None without a tokenizer. Log-probabilities in nats, None if not finite."""

    index: int
    text: str | None
    in_answer: bool
    logprob: float | None
    hit: bool | None
    rank: int | None
    mean: float | None
    variance: float | None


@dataclass(frozen=True)
class ExplainedValue:
    """One value, as stored and as computed again from the primitives. `note` says why one of them is missing.

    `agrees` is None where nothing could be computed again.
    """

    name: str
    formula: str
    stored: float | None
    recomputed: float | None
    agrees: bool | None
    note: str = ""


@dataclass(frozen=True)
class MetricEffect:
    """A board metric with the item and without it; `means` names the averages through which the item enters."""

    key: str
    label: str
    direction: str
    means: tuple[str, ...]
    value: float | None
    without: float | None
    difference: float | None


@dataclass(frozen=True)
class Explanation:
    """One item of a trace: what was asked, what came back, and where its values go."""

    item_id: str
    kind: str
    split_role: str
    relation: str | None
    subject_key: str
    base_correct: bool
    prompt: str | None
    reference: str | None
    response: str | None
    base_response: str | None
    aliases: tuple[str, ...]
    tokens: tuple[Token, ...]
    values: tuple[ExplainedValue, ...]
    effects: tuple[MetricEffect, ...]
    withheld: tuple[str, ...]
    warnings: tuple[str, ...]


# ---------------------------------------------------------------- reading


def trace_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a trace. Raises `ValueError` for a file that is no trace or holds no probe, `OSError` for no file."""
    if is_sealed(path):
        raise ValueError(f"{path} is sealed; open it with `python -m evaluator open-run`")
    try:
        names = set(pq.read_schema(path).names)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"{path} is not a trace: {str(error).splitlines()[0]}") from None
    missing = [name for name in ("item_id", "subject_key", "kind", *VALUE_NAMES[:1]) if name not in names]
    if missing:
        raise ValueError(f"{path} is not a trace: it has no column {missing[0]!r}")
    rows = trace_read(path)
    if not rows:
        raise ValueError(f"{path} is an empty trace: it holds no probe")
    return rows


def item_find(rows: Sequence[TraceRow], item_id: str) -> int:
    """The position of an item. Raises `LookupError` that names the nearest known one."""
    known = [str(row["item_id"]) for row in rows]
    if item_id not in known:
        nearest = difflib.get_close_matches(item_id, known, n=1, cutoff=0.0)
        raise LookupError(f"item {item_id!r} is not in this trace of {len(known)}; the nearest is {nearest[0]!r}")
    return known.index(item_id)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


# ---------------------------------------------------------------- primitives to values


def row_values(row: TraceRow) -> dict[str, float | None]:
    """The values of a probe, computed again from its primitives; empty on a redacted row."""
    if any(row.get(name) is None for name in ("prompt", "reference", "response", "aliases")):
        return {}
    logprobs = tuple(math.nan if value is None else value for value in row["token_logprobs"] or ())
    total = _finite(math.fsum(logprobs)) if logprobs else None
    if row["kind"] == "choice":
        return choice_values(row["choices"], row["choice_logprobs"]) | {"logprob_sum": total}
    if row["kind"] == "text":
        return text_values(logprobs, row["base_logprob"]) | {"logprob_sum": total}
    hits = tuple(bool(hit) for hit in row["token_hits"] or ())
    scored = Scored(logprobs, hits, ranks=tuple(row.get("token_ranks") or ()))
    each = zip(row.get("choice_logprobs") or (), row.get("choice_tokens") or (), strict=True)
    named = row.get("subject") is not None and row.get("topic") is not None
    probe = Probe(
        item_id=row["item_id"],
        subject_key=row["subject_key"],
        kind=row["kind"],
        split_role=row["split_role"],
        relation=row["relation"] or "",
        topic=row["topic"] if named else "",
        subject=row["subject"] if named else "",
        prompt=row["prompt"],
        reference=row["reference"],
        answer=next(iter(row["aliases"]), ""),
        aliases=tuple(row["aliases"]),
        base_values={name: row[f"base_{name}"] for name in COMPARED if row.get(f"base_{name}") is not None},
        unknown_values={name: row[f"unknown_{name}"] for name in ERASED if row.get(f"unknown_{name}") is not None},
        condition=row.get("condition") or PLAIN,
        question=row.get("question") or "",
        options=tuple(row.get("options") or ()),
    )
    span = (row["answer_start"] or 0, len(logprobs) if row["answer_end"] is None else row["answer_end"])
    found = probe_values(probe, row["response"], scored, span, tuple(each)[1:])
    found["logprob_sum"] = total
    if row.get("truth_gap") is None and found["truth_gap"] is not None:  # traces from before evaluator 0.5 have none
        del found["truth_gap"]
    return found if named else {name: value for name, value in found.items() if name not in ("context", "har")}


def _explained(row: TraceRow) -> list[ExplainedValue]:
    again = row_values(row)
    values = []
    for name in (*VALUE_NAMES, "logprob_sum"):
        stored, computed = _finite(row.get(name)), again.get(name)
        if name not in again:
            agrees, note = None, "" if stored is not None else "not run"
        elif stored is None or computed is None:
            agrees, note = stored is computed, _why_missing(row, stored, computed)
        else:
            agrees, note = math.isclose(stored, computed, rel_tol=TOLERANCE, abs_tol=TOLERANCE), ""
        values.append(ExplainedValue(name, FORMULAS[name], stored, computed, agrees, note))
    return values


def _why_missing(row: TraceRow, stored: float | None, computed: float | None) -> str:
    if computed is not None:
        return "not stored"
    logprobs = row["token_logprobs"] or []
    if not logprobs:
        return "not run: the reference was not scored"
    bad = next((i for i, value in enumerate(logprobs) if _finite(value) is None), None)
    return "not run" if bad is None else f"not run: the log-probability of token {bad} is not finite"


def _tokens(row: TraceRow, texts: Sequence[str] | None) -> list[Token]:
    logprobs = row["token_logprobs"] or []

    def at(name: str, index: int) -> Any:
        column = row.get(name) or []
        return column[index] if index < len(column) else None

    start, end = row["answer_start"] or 0, len(logprobs) if row["answer_end"] is None else row["answer_end"]
    return [
        Token(
            index=index,
            text=texts[index] if texts is not None else None,
            in_answer=start <= index < end,
            logprob=_finite(value),
            hit=at("token_hits", index),
            rank=at("token_ranks", index),
            mean=_finite(at("token_means", index)),
            variance=_finite(at("token_variances", index)),
        )
        for index, value in enumerate(logprobs)
    ]


def token_texts(tokenizer: Any, prompt: str, reference: str, n_tokens: int) -> list[str] | None:
    """The reference's `n_tokens` tokens as text, split as they were scored (after the chat template's context).

    None when this tokenizer does not give the reference back: it is not the base's own.
    """
    context = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )
    whole = context + reference
    offsets = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    if len(offsets) < n_tokens or n_tokens == 0:
        return None
    first = offsets[len(offsets) - n_tokens][0]
    texts = [whole[begin:end] for begin, end in offsets[len(offsets) - n_tokens :]]
    return texts if whole[first:] == reference else None


# ---------------------------------------------------------------- values to metrics


class TraceBoard:
    """The board's metrics of one trace, and what they would be with one probe taken out or replaced."""

    def __init__(self, rows: Sequence[TraceRow]) -> None:
        self.rows = rows
        table = probe_table(rows)
        self.resampler = Resampler(table, key="explain", resamples=1)
        self.totals = self._sums(rows)

    def _sums(self, rows: Sequence[TraceRow]) -> dict[str, tuple[float, float]]:
        """Mean name → (sum of values, number of probes)."""
        found = self.resampler.sums(probe_table(rows))
        return {name: (float(total.sum()), float(count.sum())) for name, (total, count) in found.items()}

    def metrics(self, totals: dict[str, tuple[float, float]]) -> dict[str, float | None]:
        means: dict[str, FloatArray] = {
            name: np.asarray(total / count if count > 0 else np.nan) for name, (total, count) in totals.items()
        }
        return {metric.key: _finite(float(metric.compute(means))) for metric in METRICS}

    def means_of(self, position: int) -> set[str]:
        return {name for name, (_, count) in self._sums([self.rows[position]]).items() if count > 0}

    def changed(self, position: int, instead: TraceRow | None) -> dict[str, float | None]:
        """The metrics with another row in the place of one, or with none."""
        out = self._sums([self.rows[position]])
        into = dict.fromkeys(out, (0.0, 0.0)) if instead is None else self._sums([instead])
        return self.metrics(
            {
                name: (total - out[name][0] + into[name][0], count - out[name][1] + into[name][1])
                for name, (total, count) in self.totals.items()
            }
        )


def difference(new: float | None, old: float | None) -> float | None:
    """new - old; None where one is missing."""
    if new is None or old is None:
        return None
    return 0.0 if abs(new - old) < 1e-12 else new - old


def item_explain(
    rows: Sequence[TraceRow], item_id: str, *, texts: Callable[[str, str, int], list[str] | None] | None = None
) -> Explanation:
    """Everything that one item of a trace says. Raises `LookupError` that names the nearest known item.

    `texts`: (prompt, reference, number of tokens) → the reference's tokens as text; see `token_texts`.
    """
    position = item_find(rows, item_id)
    row = rows[position]
    redacted = row["prompt"] is None
    n_tokens = len(row["token_logprobs"] or ())
    split = None
    warnings = []
    if texts is not None and not redacted and n_tokens:
        split = texts(row["prompt"], row["reference"], n_tokens)
        if split is None:
            warnings.append("the given base's tokenizer does not split the reference into these tokens")
    tokens = _tokens(row, split)
    warnings += [f"token {t.index}: its log-probability is not finite" for t in tokens if t.logprob is None]
    if row["n_tokens"] is not None and row["n_tokens"] != n_tokens:
        warnings.append(f"n_tokens: stored {row['n_tokens']}, but {n_tokens} log-probabilities are here")
    values = _explained(row)
    warnings += [
        f"{v.name}: stored {v.stored}, recomputed {v.recomputed}: this row was changed after scoring, "
        "or scored by another version of the evaluator"
        for v in values
        if v.agrees is False
    ]
    board = TraceBoard(rows)
    used, value, without = board.means_of(position), board.metrics(board.totals), board.changed(position, None)
    effects = [
        MetricEffect(
            key=metric.key,
            label=metric.label,
            direction=metric.direction,
            means=tuple(sorted(through)),
            value=value[metric.key],
            without=without[metric.key],
            difference=difference(value[metric.key], without[metric.key]),
        )
        for metric in METRICS
        if (through := means_read(metric) & used)
    ]
    return Explanation(
        item_id=item_id,
        kind=row["kind"],
        split_role=row["split_role"],
        relation=row["relation"],
        subject_key=row["subject_key"],
        base_correct=bool(row["base_correct"]),
        prompt=row["prompt"],
        reference=row["reference"],
        response=row["response"],
        base_response=row["base_response"],
        aliases=tuple(row["aliases"] or ()),
        tokens=tuple(tokens),
        values=tuple(values),
        effects=tuple(effects),
        withheld=tuple(name for name in WITHHELD if row.get(name) is None) if redacted else (),
        warnings=tuple(warnings),
    )
