"""Controls that stand where no ranked entry clearly beats them, and what gives them away all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluator.contract import BoardScore, MetricGroup
from leaderboard.boards.differences import difference_read
from leaderboard.boards.table import SECTIONS, Column, Entry, columns_read, entries_read

#: Kinds of probe that are named for each control: those on which it does worst.
NAMED = 4
_KINDS = frozenset({MetricGroup.FORGET, MetricGroup.ROBUSTNESS, MetricGroup.RETAIN})


@dataclass(frozen=True)
class Caught:
    """One kind of probe, with the control's value and the best ranked entry's."""

    label: str
    control: float
    best: float | None


@dataclass(frozen=True)
class Unbeaten:
    """A control, the best ranked entry of its division, and the kinds of probe on which the control does worst."""

    division: str
    control: Entry
    best: Entry
    caught: tuple[Caught, ...]

    @property
    def reached(self) -> BoardScore:
        return self.control.score("overall")

    @property
    def to_beat(self) -> BoardScore:
        return self.best.score("overall")


def unbeaten_find(payload: Mapping[str, Any]) -> tuple[Unbeaten, ...]:
    """The controls of a Board JSON that their division's best ranked entry does not beat by the paired test."""
    columns, entries = columns_read(payload), entries_read(payload)
    kinds = [
        column for column in columns if column.group in _KINDS and column.direction == "up" and not column.headline
    ]
    found = []
    for section, division in ((0, "weights"), (1, "system")):
        ranked = [entry for entry in entries if entry.section == section and entry.rank]
        best = min(ranked, key=lambda entry: entry.rank or 0, default=None)
        if best is None:
            continue
        for entry in entries:
            if not entry.is_control or entry.division != division:
                continue
            item = Unbeaten(SECTIONS[section][0], entry, best, _caught(kinds, entry, best))
            if item.reached.value is not None and item.to_beat.value is not None and not _beaten(payload, item):
                found.append(item)
    return tuple(sorted(found, key=lambda item: -(item.reached.value or 0.0)))


def _beaten(payload: Mapping[str, Any], item: Unbeaten) -> bool:
    """Whether the best entry is better by the paired test; on a board without pairs, whether the intervals part."""
    high, low = item.reached.high, item.to_beat.low
    gap = (item.to_beat.value or 0.0) - (item.reached.value or 0.0)
    one, other = item.best.submission, item.control.submission
    found = difference_read(payload, key="overall", direction="up", one=one, other=other, gap=gap)
    if found is not None:
        return found.verdict == "better"
    return high is not None and low is not None and high < low


def _caught(kinds: Sequence[Column], control: Entry, best: Entry) -> tuple[Caught, ...]:
    values = [
        Caught(column.label, value, best.score(column.key).value)
        for column in kinds
        if (value := control.score(column.key).value) is not None and value < 1
    ]
    return tuple(sorted(values, key=lambda item: item.control)[:NAMED])
