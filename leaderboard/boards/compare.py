"""Methods of one board side by side: what each scores, and how far it is from the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evaluator.contract import BoardScore
from leaderboard.boards.differences import Difference, difference_read
from leaderboard.boards.table import Column, Entry, columns_read, entries_read, interval_format, value_format

MAX_METHODS = 5


@dataclass(frozen=True)
class Side:
    """One method's score on one metric, with its distance to the first method."""

    score: BoardScore
    text: str
    interval: str
    difference: str
    verdict: str  # better | worse | unclear | ""
    paired: Difference | None = None


@dataclass(frozen=True)
class Line:
    column: Column
    sides: list[Side]


@dataclass(frozen=True)
class Comparison:
    entries: list[Entry]
    lines: list[Line]
    choices: list[Entry]
    unknown: list[str]
    ties: list[tuple[str, str]]

    @property
    def is_paired(self) -> bool:
        """Whether any difference was tested on the same questions; snapshots of older evaluators have none."""
        return any(side.paired for line in self.lines for side in line.sides)

    @property
    def is_by_overlap(self) -> bool:
        """Whether any verdict is read from the two intervals alone."""
        return any(side.verdict and not side.paired for line in self.lines for side in line.sides)


def comparison_build(*, payload: Mapping[str, Any], asked: list[str]) -> Comparison:
    """`asked` names methods by slug (their best-placed entry is taken) or entries by submission id."""
    entries = entries_read(payload)
    columns = columns_read(payload)
    chosen: list[Entry] = []
    unknown: list[str] = []
    for name in asked:
        entry = next((e for e in entries if name in (e.submission, e.method_slug)), None)
        if entry is None:
            unknown.append(name)
        elif entry not in chosen:
            chosen.append(entry)
    lines = [
        Line(column=column, sides=[_side(payload, column, chosen[0], entry) for entry in chosen])
        for column in columns
        if chosen and any(entry.score(column.key).value is not None for entry in chosen)
    ]
    ties = [
        (one.method, other.method)
        for place, one in enumerate(chosen)
        for other in chosen[place + 1 :]
        if other.submission in one.tied_with
    ]
    return Comparison(entries=chosen, lines=lines, choices=list(entries), unknown=unknown, ties=ties)


def _side(payload: Mapping[str, Any], column: Column, first: Entry, entry: Entry) -> Side:
    score, base = entry.score(column.key), first.score(column.key)
    text = "" if score.value is None else value_format(score.value, column.unit)
    interval = interval_format(score, column.unit)
    difference, verdict, paired = "", "", None
    if entry is not first and score.value is not None and base.value is not None:
        gap = score.value - base.value
        difference = f"{gap:+.3f}" if not column.unit else f"{gap:+,.1f} {column.unit}"
        difference = difference.replace("-", "−")
        paired = difference_read(
            payload, key=column.key, direction=column.direction, one=entry.submission, other=first.submission, gap=gap
        )
        verdict = paired.verdict if paired else _verdict(column, base, score)
    return Side(score=score, text=text, interval=interval, difference=difference, verdict=verdict, paired=paired)


def _verdict(column: Column, base: BoardScore, score: BoardScore) -> str:
    """Without a paired test: apart only where the two intervals do not touch, a cautious reading."""
    if base.low is None or base.high is None or score.low is None or score.high is None:
        return ""
    if score.low > base.high:
        return "better" if column.direction == "up" else "worse"
    if score.high < base.low:
        return "worse" if column.direction == "up" else "better"
    return "unclear"
