"""A board says which controls its best entries do not clearly beat, and what gets past them."""

from __future__ import annotations

from typing import Any

import pytest

from evaluator.contract import MetricGroup
from leaderboard.boards.table import Column, Entry
from leaderboard.boards.unbeaten import unbeaten_find

COLUMNS = [
    Column(
        key=key,
        version=f"{key}@1",
        label=label,
        direction="up",
        group=group,
        help="In [0, 1].",
        headline=key == "overall",
    )
    for key, label, group in (
        ("overall", "Overall", MetricGroup.OVERALL),
        ("described", "Described", MetricGroup.FORGET),
        ("related", "Related context", MetricGroup.ROBUSTNESS),
        ("same_answer_locality", "Same-answer locality", MetricGroup.RETAIN),
        ("utility", "Utility", MetricGroup.UTILITY),
    )
]


def entry(name: str, rank: int | None, low: float, high: float, division: str = "system", **scores: float) -> Entry:
    overall = {"value": (low + high) / 2, "low": low, "high": high}
    given: dict[str, Any] = {"method": name, "submission": name, "method_slug": name, "rank": rank}
    kind = "control" if rank is None else "retrieval"
    measured = {"overall": overall} | {key: {"value": value} for key, value in scores.items()}
    return Entry.model_validate(given | {"division": division, "kind": kind, "scores": measured})


def board(entries: list[Entry]) -> dict[str, Any]:
    """A Board JSON without pairs."""
    return {
        "columns": [column.model_dump(mode="json") for column in COLUMNS],
        "rows": [entry.model_dump(mode="json") for entry in entries],
    }


def test_a_control_that_touches_the_best_is_named_with_what_gets_past_it() -> None:
    entries = [
        entry("best", 1, 0.70, 0.80, described=0.9, related=0.8, same_answer_locality=0.9),
        entry("second", 2, 0.40, 0.50),
        entry("above", None, 0.85, 0.95, described=0.5, related=1.0, same_answer_locality=0.7),
        entry("touches", None, 0.60, 0.70),
        entry("below", None, 0.30, 0.69),
        entry("of the others", None, 0.90, 0.99, "weights"),
    ]
    above, touches = unbeaten_find(board(entries))
    assert (above.control.method, above.best.method, above.division) == ("above", "best", "Systems")
    assert [(kind.label, kind.control, kind.best) for kind in above.caught] == [
        ("Described", 0.5, 0.9),
        ("Same-answer locality", 0.7, 0.9),
    ], "a kind that nothing gets past is not named"
    assert touches.control.method == "touches" and touches.caught == ()


def test_where_all_are_beaten_or_nobody_is_ranked_there_is_nothing_to_say() -> None:
    assert unbeaten_find(board([entry("best", 1, 0.7, 0.8), entry("below", None, 0.1, 0.2)])) == ()
    assert unbeaten_find(board([entry("alone", None, 0.9, 1.0)])) == ()


@pytest.mark.parametrize(("p_holm", "beaten"), [(0.01, True), (0.2, False)])
def test_where_there_are_pairs_the_paired_test_decides(p_holm: float, beaten: bool) -> None:
    """Two wide intervals overlap, and yet every draw of subjects may put the one above the other."""
    entries = [entry("best", 1, 0.3, 0.9), entry("control", None, 0.2, 0.8)]
    pairs = {"ids": ["best", "control"], "low": [[0.05], []], "high": [[0.15], []], "p_holm": [[p_holm], []]}
    assert (unbeaten_find(board(entries) | {"pairs": {"overall": pairs}}) == ()) is beaten
