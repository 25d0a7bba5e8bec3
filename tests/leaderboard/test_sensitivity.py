"""What the order of a board would be without one part of the overall score."""

from __future__ import annotations

from typing import Any

import pytest

from evaluator.contract import MetricGroup
from leaderboard.boards.sensitivity import sensitivity_build
from leaderboard.boards.table import Column, Entry

COLUMNS = [
    Column(key=key, version=f"{key}@1", label=label, direction="up", group=MetricGroup.FORGET, help="In [0, 1].")
    for key, label in (("forgetting", "Forgetting"), ("har", "HAR"), ("erasure", "Erasure"))
]


def entry(name: str, rank: int | None, division: str = "weights", kind: str = "editing", **without: int) -> Entry:
    given: dict[str, Any] = {"method": name, "submission": name, "method_slug": name}
    return Entry.model_validate(given | {"rank": rank, "division": division, "kind": kind, "rank_without": without})


def test_each_division_has_its_own_table_with_the_parts_that_it_has() -> None:
    entries = [
        entry("a", 1, forgetting=1, har=3, erasure=1),
        entry("b", 2, forgetting=2, har=2, erasure=2),
        entry("c", 3, forgetting=3, har=1, erasure=3),
        entry("s", 1, "system", forgetting=1, har=1),
        entry("t", 2, "system", forgetting=1, har=2),
        entry("base", None, kind="control"),
    ]
    weights, systems = sensitivity_build(COLUMNS, entries)
    assert weights.parts == ("Forgetting", "HAR", "Erasure") and systems.parts == ("Forgetting", "HAR")
    assert [row.entry.method for row in weights.rows] == ["a", "b", "c"] and weights.rows[0].ranks == (1, 3, 1)
    assert weights.taus == (1.0, -1.0, 1.0)
    assert systems.taus == (None, 1.0), "without forgetting both are first: an order of ties alone"


@pytest.mark.parametrize("entries", [[], [entry("a", 1, har=1)], [entry("a", 1), entry("b", 2)]])
def test_a_board_of_one_or_from_before_there_was_this_has_none(entries: list[Entry]) -> None:
    assert sensitivity_build(COLUMNS, entries) == ()
