"""Controls that stand where no ranked entry clearly beats them, and what gives them away all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluator.contract import BoardScore, MetricGroup
from leaderboard.boards.table import SECTIONS, Column, Entry

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


def unbeaten_find(columns: Sequence[Column], entries: Sequence[Entry]) -> tuple[Unbeaten, ...]:
    """The controls whose interval of the overall score touches or passes that of their division's best ranked entry."""
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
            high, low = (item.reached.high, item.reached.value), (item.to_beat.low, item.to_beat.value)
            if item.reached.value is not None and _first(*high) >= _first(*low):
                found.append(item)
    return tuple(sorted(found, key=lambda item: -_first(item.reached.value)))


def _first(*values: float | None) -> float:
    return next((value for value in values if value is not None), 0.0)


def _caught(kinds: Sequence[Column], control: Entry, best: Entry) -> tuple[Caught, ...]:
    values = [
        Caught(column.label, value, best.score(column.key).value)
        for column in kinds
        if (value := control.score(column.key).value) is not None and value < 1
    ]
    return tuple(sorted(values, key=lambda item: item.control)[:NAMED])
