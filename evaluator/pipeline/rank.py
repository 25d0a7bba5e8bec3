"""Rank the entries of one board: paired bootstrap over the same subjects, ties, and the Pareto front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from evaluator.contract import Scorecard
from evaluator.metrics.board import FloatArray
from evaluator.pipeline.score import HIDDEN_DIGITS, probe_table
from evaluator.statistics import ProbeTable, Resampler, metric_intervals, rank_entries
from evaluator.trace import trace_read

#: The two axes of the forget-against-retain plot.
PARETO_AXES = ("forgetting", "locality")


class RankRun(BaseModel):
    model_config = ConfigDict(extra="forbid")

    trace: Path
    scorecard: Path


class RankEntry(BaseModel):
    """One submission; several runs are several seeds."""

    model_config = ConfigDict(extra="forbid")

    id: str
    runs: list[RankRun] = Field(min_length=1)


class RankSpec(BaseModel):
    model_config = ConfigDict(extra="forbid")

    release: str
    evaluator: str
    resamples: int = Field(default=10_000, ge=100, le=100_000)
    entries: list[RankEntry]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, HIDDEN_DIGITS)


def _costs(scorecards: list[Scorecard]) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for info in scorecards[0].metrics:
        if info.group != "cost":
            continue
        values = [s.value for card in scorecards for s in card.scores if s.key == info.key and s.value is not None]
        found[info.key] = {"value": _rounded(sum(values) / len(values)) if values else None, "low": None, "high": None}
    return found


def _pareto(points: dict[str, tuple[float | None, ...]]) -> set[str]:
    """Entries that no other beats on one axis without losing on another."""
    whole = {name: tuple(float(v) for v in p if v is not None) for name, p in points.items() if None not in p}
    return {
        name
        for name, point in whole.items()
        if not any(
            all(b >= a for a, b in zip(point, other, strict=True)) and other != point for other in whole.values()
        )
    }


def rank(spec: RankSpec) -> dict[str, Any]:
    """Columns and ranked entries. Raises `ValueError` naming an entry of another release, evaluator or probe set."""
    tables: dict[str, ProbeTable] = {}
    cards: dict[str, list[Scorecard]] = {}
    for entry in spec.entries:
        cards[entry.id] = [Scorecard.model_validate_json(run.scorecard.read_text()) for run in entry.runs]
        for card in cards[entry.id]:
            if (card.release, card.evaluator) != (spec.release, spec.evaluator):
                raise ValueError(
                    f"entries: {entry.id} was scored on {card.release} by evaluator {card.evaluator}; "
                    f"this board is {spec.release} by {spec.evaluator}. Run it again to compare it."
                )
        seeds = [probe_table(sorted(trace_read(run.trace), key=lambda row: str(row["item_id"]))) for run in entry.runs]
        tables[entry.id] = seeds[0].mean_over_seeds(seeds[1:])
    if not tables:
        return {"columns": [], "entries": []}
    first = next(iter(tables.values()))
    for name, table in tables.items():
        if (table.subject_key, table.kind) != (first.subject_key, first.kind):
            raise ValueError(
                f"entries: {name} holds other probes than the rest of the board; it is not of this release"
            )
    resampler = Resampler(first, key=f"{spec.release}:{spec.evaluator}", resamples=spec.resamples)
    intervals = {name: metric_intervals(table, resampler) for name, table in tables.items()}
    overall: dict[str, FloatArray] = {name: found.drawn["overall"] for name, found in intervals.items()}
    ranks = rank_entries({name: found.value["overall"] for name, found in intervals.items()}, overall)
    front = _pareto({name: tuple(found.value[axis] for axis in PARETO_AXES) for name, found in intervals.items()})
    entries = []
    for name, found in intervals.items():
        scores: dict[str, dict[str, float | None]] = {
            key: {
                "value": _rounded(found.value[key]),
                "low": _rounded(found.low[key]),
                "high": _rounded(found.high[key]),
            }
            for key in found.value
        }
        entries.append(
            {
                "id": name,
                "rank": ranks[name].rank,
                "rank_low": ranks[name].rank_low,
                "rank_high": ranks[name].rank_high,
                "tied_with": list(ranks[name].tied_with),
                "pareto": name in front,
                "scores": scores | _costs(cards[name]),
            }
        )
    entries.sort(
        key=lambda e: (
            e["rank"] is None,
            e["rank"] or 0,
            -(intervals[str(e["id"])].value["overall"] or 0),
            str(e["id"]),
        )
    )
    columns = [info.model_dump(mode="json") for info in cards[spec.entries[0].id][0].metrics]
    return {"columns": columns, "entries": entries}
