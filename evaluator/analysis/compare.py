"""Compare: two traces of one release; which metrics differ, which items did it, which primitives changed. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluator.analysis.explain import TraceBoard, difference
from evaluator.contract.values import VALUE_NAMES
from evaluator.measures.metrics.board import METRICS
from evaluator.trace import TraceRow
from evaluator.trace.table import PRIMITIVE_COLUMNS

#: What makes a probe the same probe in two traces of one release.
IDENTITY = ("kind", "subject_key", "split_role", "base_correct", "base_logprob", "prompt", "reference")
PRIMITIVES = ("response", *PRIMITIVE_COLUMNS)


@dataclass(frozen=True)
class MetricChange:
    """A board metric of two traces of one release."""

    key: str
    label: str
    direction: str
    old: float | None
    new: float | None
    difference: float | None


@dataclass(frozen=True)
class Change:
    """One value or primitive that differs. `index`: the first differing place of a list, whose entries these are."""

    name: str
    old: Any
    new: Any
    index: int | None = None


@dataclass(frozen=True)
class ItemChange:
    """One item that differs. `contributions`: how far each metric of the old trace moves by this item alone."""

    item_id: str
    kind: str
    values: tuple[Change, ...]
    primitives: tuple[Change, ...]
    contributions: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """Two traces of one release: the metrics and items that differ, the item that moves a metric most first."""

    n_items: int
    metrics: tuple[MetricChange, ...]
    items: tuple[ItemChange, ...]


def traces_compare(new: Sequence[TraceRow], old: Sequence[TraceRow]) -> Comparison:
    """What differs between two traces. Raises `ValueError` when their probes are not the same."""
    before = {str(row["item_id"]): row for row in old}
    after = _same_probes(new, old)
    board, target = TraceBoard(old), TraceBoard(new)
    start, end = board.metrics(board.totals), target.metrics(target.totals)
    items = []
    for position, (item_id, row) in enumerate(before.items()):
        values = _changes(row, after[item_id], VALUE_NAMES)
        primitives = _changes(row, after[item_id], PRIMITIVES)
        if not values and not primitives:
            continue
        moved = board.changed(position, after[item_id])
        by = {key: difference(moved[key], start[key]) for key in start}
        items.append(
            ItemChange(
                item_id=item_id,
                kind=str(row["kind"]),
                values=values,
                primitives=primitives,
                contributions={key: value for key, value in by.items() if value},
            )
        )
    items.sort(key=lambda item: (-max((abs(v) for v in item.contributions.values()), default=0.0), item.item_id))
    metrics = tuple(
        MetricChange(m.key, m.label, m.direction, start[m.key], end[m.key], difference(end[m.key], start[m.key]))
        for m in METRICS
        if start[m.key] != end[m.key] and difference(end[m.key], start[m.key]) != 0
    )
    return Comparison(n_items=len(before), metrics=metrics, items=tuple(items))


def _same_probes(new: Sequence[TraceRow], old: Sequence[TraceRow]) -> dict[str, TraceRow]:
    """The rows of `new` by item. Raises `ValueError` that says which probes the two traces do not share."""
    for name, rows in (("new", new), ("old", old)):
        twice = [item for item, n in Counter(str(row["item_id"]) for row in rows).items() if n > 1]
        if twice:
            raise ValueError(f"the {name} trace holds item {twice[0]!r} more than once; it is not one run's trace")
    after = {str(row["item_id"]): row for row in new}
    before = {str(row["item_id"]): row for row in old}
    alone = {"new": sorted(after.keys() - before.keys()), "old": sorted(before.keys() - after.keys())}
    if any(alone.values()):
        said = "; ".join(f"{len(ids)} only in the {name} one, such as {ids[0]!r}" for name, ids in alone.items() if ids)
        raise ValueError(
            "the traces hold different probes, so they are not of one release (or are of hidden runs, whose probes "
            f"have names of their own): {said}"
        )
    for item_id, row in before.items():
        for name in IDENTITY:
            if row.get(name) != after[item_id].get(name):
                raise ValueError(
                    f"item {item_id!r} is another probe in the two traces: its {name} is "
                    f"{row.get(name)!r} in the old and {after[item_id].get(name)!r} in the new one"
                )
    return after


def _changes(old: TraceRow, new: TraceRow, names: Sequence[str]) -> tuple[Change, ...]:
    """The first difference of each column; a column that one of the traces does not have is no difference."""
    found = []
    for name in names:
        a, b = old.get(name), new.get(name)
        if _same(a, b) or (name in PRIMITIVES and (a is None or b is None)):
            continue
        if isinstance(a, list) and isinstance(b, list):
            index = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if not _same(x, y)), None)
            if index is None:
                found.append(Change(name, f"{len(a)} entries", f"{len(b)} entries"))
            else:
                found.append(Change(name, _plain(a[index]), _plain(b[index]), index))
        else:
            found.append(Change(name, _plain(a), _plain(b)))
    return tuple(found)


def _plain(value: Any) -> Any:
    """JSON knows no NaN."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    return bool(a == b)
