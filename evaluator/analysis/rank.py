"""Rank the entries of one board: paired bootstrap over the same subjects, differences, ties, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evaluator.benchmark.secret import release_sealing
from evaluator.contract import BoardScore, FastRefused, MetricGroup, RankedEntry, Ranking, Scorecard
from evaluator.contract.board import PairedDifference, PairedDifferences, Pairs, Placed, SeedSpread
from evaluator.contract.disclosure import HIDDEN_DECIMALS, pair_shown, score_shown
from evaluator.contract.values import ERASED, VALUE_NAMES
from evaluator.home import Home
from evaluator.measures.metrics.aggregates import whole_of
from evaluator.measures.metrics.axes import PARTS
from evaluator.measures.metrics.board import METRICS, FloatArray
from evaluator.measures.score import own_words_left_out, probe_table, resampling_key
from evaluator.measures.statistics import (
    Differences,
    MetricIntervals,
    ProbeTable,
    Resampler,
    SeedVariance,
    board_intervals,
    detectable_difference,
    paired_differences,
    rank_entries,
    seed_variance,
)
from evaluator.probes import PLAIN
from evaluator.trace import TraceRow, is_fast, is_sealed, is_withheld, trace_read, trace_unseal

#: The two axes of the forget-against-retain plot.
PARETO_AXES = ("forgetting", "locality")
#: An entry in which all of `ERASED` are the base's, give or take `INTACT_WITHIN`, has the knowledge still.
INTACT_WITHIN = 0.02
#: What of a trace a ranking reads: not its primitives, which are most of it.
COLUMNS = ("item_id", "subject_key", "kind", "condition", "base_correct", *VALUE_NAMES)
#: The metric that ranks are made from.
RANKED = "overall"
#: On boards of at most so many entries, pairs are compared in every headline metric; on larger ones in `RANKED` alone.
PAIRS_OF_ALL_HEADLINES = 50


class RankRun(BaseModel):
    """`trace`: complete, or sealed by a release that is built here."""

    model_config = ConfigDict(extra="forbid")

    trace: Path
    scorecard: Path


class RankEntry(BaseModel):
    """One submission; several runs are several seeds. A control is compared and not ranked; `control: "base"` marks the
    untouched base, if it is there.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    control: Literal["base", "other"] | None = None
    runs: list[RankRun] = Field(min_length=1)


class RankSpec(BaseModel):
    """`content_sha256` is the release's: with it, intervals are those of the entries' own scorecards."""

    model_config = ConfigDict(extra="forbid")

    release: str
    content_sha256: str = ""
    evaluator: str
    resamples: int = Field(default=10_000, ge=100, le=100_000)
    entries: list[RankEntry]

    @model_validator(mode="after")
    def _names_once(self) -> RankSpec:
        ids = [entry.id for entry in self.entries]
        if twice := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(f"entries: {', '.join(twice)} is there more than once; give all its runs in one entry")
        if len(bases := [entry.id for entry in self.entries if entry.control == "base"]) > 1:
            raise ValueError(f"entries: {', '.join(bases)} are all marked as the base; a board has one")
        return self


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, HIDDEN_DECIMALS)


def _costs(scorecards: list[Scorecard]) -> dict[str, BoardScore]:
    found: dict[str, BoardScore] = {}
    for info in scorecards[0].metrics:
        if info.group is not MetricGroup.COST:
            continue
        values = [s.value for card in scorecards for s in card.scores if s.key == info.key and s.value is not None]
        found[info.key] = BoardScore(value=_rounded(sum(values) / len(values)) if values else None)
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


def _rows(run: RankRun, card: Scorecard, home: Home) -> list[TraceRow]:
    """A run's probes in the order of their names, opened with the release's key where they are sealed. Raises
    `ValueError` for a trace of outcomes alone, of a fast run, or one that does not open, and `LookupError` without the
    release.
    """
    if is_sealed(run.trace):
        release, key = release_sealing(home, card.release)
        content = release.content_sha256
        found = trace_unseal(run.trace, key, run_id=card.run_id, content_sha256=content, columns=COLUMNS)
    elif is_fast(run.trace):
        raise FastRefused(f"trace: {run.trace.name} is of a fast run; boards are made of whole ones, without --fast")
    else:
        found = trace_read(run.trace, COLUMNS)
    if is_withheld(found):
        raise ValueError(
            f"trace: {run.trace.name} holds the outcomes of a hidden run; entries are compared by its sealed trace"
        )
    return sorted(found, key=lambda row: str(row["item_id"]))


def _tables(spec: RankSpec, home: Home) -> tuple[dict[str, list[ProbeTable]], dict[str, list[Scorecard]]]:
    """Each entry's runs. Raises `ValueError` naming an entry of another release, evaluator or probe set, and
    `FastRefused`, which is one too, naming a fast run.
    """
    tables: dict[str, list[ProbeTable]] = {}
    cards: dict[str, list[Scorecard]] = {}
    for entry in spec.entries:
        cards[entry.id] = [Scorecard.model_validate_json(run.scorecard.read_text()).whole() for run in entry.runs]
        for card in cards[entry.id]:
            if (card.release, card.evaluator) != (spec.release, spec.evaluator):
                raise ValueError(
                    f"entries: {entry.id} was scored on {card.release} by evaluator {card.evaluator}; "
                    f"this board is {spec.release} by {spec.evaluator}. Run it again to compare it."
                )
        tables[entry.id] = [
            probe_table(_rows(run, card, home)) for run, card in zip(entry.runs, cards[entry.id], strict=True)
        ]
        first = tables[spec.entries[0].id][0]
        if not tables[entry.id][0].same_probes(first):
            raise ValueError(
                f"entries: {entry.id} holds other probes than the rest of the board; it is not of this release"
            )
    return tables, cards


def _difference(found: Differences, one: str, other: str | None) -> PairedDifference | None:
    """How far `one` is above `other`; None where there is no other or one of them has no value."""
    if other is None or one == other or one not in found.ids or other not in found.ids:
        return None
    i, j = found.ids.index(one), found.ids.index(other)
    numbers = {"value": found.value, "low": found.low, "high": found.high, "p": found.p, "p_holm": found.p_holm}
    return PairedDifference(
        id=other, **{key: pair_shown(float(array[i, j]), key=key) for key, array in numbers.items()}
    )


def _pairs(found: Differences) -> Pairs:
    """Every pair once: row i holds entry i minus each entry after it, in the order of `ids`."""

    def half(key: str, array: FloatArray) -> tuple[tuple[float | None, ...], ...]:
        return tuple(
            tuple(pair_shown(float(number), key=key) for number in row[place + 1 :]) for place, row in enumerate(array)
        )

    return Pairs(
        ids=tuple(found.ids),
        low=half("low", found.low),
        high=half("high", found.high),
        p_holm=half("p_holm", found.p_holm),
    )


def _seeds(found: SeedVariance | None) -> SeedSpread | None:
    """As standard deviations, in the unit of the value."""
    if found is None:
        return None
    parts = {"between": found.between, "within": found.within, "residual": found.residual}
    return SeedSpread(n=found.n, **{key: _rounded(variance**0.5) for key, variance in parts.items()})


def _fields(names: Iterable[str], divisions: Mapping[str, str], controls: Collection[str]) -> list[list[str]]:
    """The entries that are ranked together: weights, then systems. They are measured by different hands."""
    return [
        [name for name in names if divisions[name] == division and name not in controls]
        for division in ("weights", "system")
    ]


def _placed(intervals: Mapping[str, MetricIntervals]) -> dict[str, Placed]:
    """Ranks, ties, the front and the distance to the next within one field, in the order of ranks; tests are corrected
    for its pairs.
    """
    if not intervals:
        return {}
    found = paired_differences(intervals, RANKED)
    ranks = rank_entries(intervals, found)
    front = _pareto({name: tuple(one.value[axis] for axis in PARETO_AXES) for name, one in intervals.items()})
    order = sorted(
        intervals,
        key=lambda name: (ranks[name].rank is None, ranks[name].rank or 0, -(intervals[name].value[RANKED] or 0), name),
    )
    following = dict(pairwise(order))
    return {
        name: Placed(
            rank=ranks[name].rank,
            rank_low=ranks[name].rank_low,
            rank_high=ranks[name].rank_high,
            tied_with=tuple(ranks[name].tied_with),
            pareto=name in front,
            differences=PairedDifferences(next=_difference(found, name, following.get(name))),
        )
        for name in order
    }


def _intact(table: ProbeTable) -> bool:
    """Whether what is left of the base is all of it, by what the model says of itself; of a server's word, which can be
    false in its favour alone, it is the least that is left.
    """
    asked = [k == "verbatim" and c == PLAIN for k, c in zip(table.kind, table.conditions, strict=True)]
    for name in ERASED:
        now, base = table.values[name][asked], table.values[f"base_{name}"][asked]
        if not base.sum() > 0 or not abs(now.sum() / base.sum() - 1) <= INTACT_WITHIN:
            return False
    return True


def _without(intervals: Mapping[str, MetricIntervals]) -> dict[str, dict[str, int]]:
    """Of each entry of one field its rank by the overall score with one part left out, by the part's key. Parts that
    the whole field lacks are none.
    """
    values = {
        name: {key: math.nan if one.value[key] is None else float(one.value[key] or 0.0) for key in PARTS}
        for name, one in intervals.items()
        if one.value[RANKED] is not None
    }
    found: dict[str, dict[str, int]] = {name: {} for name in intervals}
    for part in PARTS:
        if not any(math.isfinite(parts[part]) for parts in values.values()):
            continue
        left = {name: _rounded(float(whole_of(parts, but=part))) for name, parts in values.items()}
        for name, value in left.items():
            found[name][part] = 1 + sum((other or 0) > (value or 0) for other in left.values())
    return found


def rank(spec: RankSpec, home: Home) -> Ranking:
    """Columns, ranked entries, paired differences and the minimum detectable difference; see docs/statistics.md.

    Raises `ValueError` naming an entry of another release, evaluator or probe set, or a fast run, and `LookupError`
    for traces that are sealed by a release that is not built here.
    """
    runs, cards = _tables(spec, home)
    if not runs:
        return Ranking()
    told = {name: seeds[0].mean_over_seeds(seeds[1:]) for name, seeds in runs.items()}
    tables = {name: own_words_left_out(table, cards[name][0].division) for name, table in told.items()}
    key = resampling_key(spec.release, spec.content_sha256)
    resampler = Resampler(next(iter(tables.values())), key=key, resamples=spec.resamples)
    all_headlines = len(tables) <= PAIRS_OF_ALL_HEADLINES
    paired = [m.key for m in METRICS if m.key == RANKED or (all_headlines and m.headline)]
    intervals = board_intervals(tables, resampler, keep=paired)
    differences = {name: paired_differences(intervals, name) for name in paired}
    overall = differences[RANKED]
    controls = {entry.id for entry in spec.entries if entry.control}
    fields = _fields(intervals, {name: cards[name][0].division for name in intervals}, controls)
    ranked: dict[str, Placed] = {}
    without: dict[str, dict[str, int]] = {}
    for names in fields:
        field = {name: intervals[name] for name in names}
        ranked |= _placed(field)
        without |= _without(field)
    ranked |= {
        name: Placed() for name in sorted(controls, key=lambda name: (-(intervals[name].value[RANKED] or 0), name))
    }
    columns = cards[spec.entries[0].id][0].metrics
    shown = [info.key for info in columns if info.group is not MetricGroup.COST]
    base = next((entry.id for entry in spec.entries if entry.control == "base"), None)
    entries = []
    for name, place in ranked.items():
        found = intervals[name]
        scores = {
            key: BoardScore(
                value=score_shown(found.value[key]), low=score_shown(found.low[key]), high=score_shown(found.high[key])
            )
            for key in shown
        }
        entries.append(
            RankedEntry(
                id=name,
                **dict(place)
                | {
                    "knowledge_intact": name != base and _intact(told[name]),
                    "rank_without": without.get(name, {}),
                    "scores": scores | _costs(cards[name]),
                    "differences": PairedDifferences(
                        base=_difference(overall, name, base), next=place.differences.next
                    ),
                    "seed_spread": _seeds(seed_variance(runs[name])),
                },
            )
        )
    return Ranking(
        columns=columns,
        entries=tuple(entries),
        pairs={name: _pairs(found) for name, found in differences.items()},
        mde=_rounded(detectable_difference(overall)),
    )
