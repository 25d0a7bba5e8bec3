"""What a fast run says of itself: its label, the verdict of its gate, and that it counts nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evaluator.contract import Fast, FastRefused, HalfGate, Scorecard

CARD: dict[str, Any] = {
    "run_id": "try-1",
    "release": "r-10-public",
    "evaluator": "1",
    "seed": 0,
    "division": "weights",
    "stores_forget_text": False,
    "metrics": [],
    "scores": [],
}


def gate(**changes: Any) -> HalfGate:
    fine = {"tolerance": 0.05, "tokens": 100, "worst": 0.04, "mean": 0.01, "changed": 0, "texts": 8, "texts_differ": 1}
    return HalfGate.model_validate(fine | changes)


@pytest.mark.parametrize(
    ("changes", "holds", "near", "verdict"),
    [
        ({}, True, True, "as good as fp32 here"),
        ({"texts_differ": 8}, True, True, "as good as fp32 here"),
        ({"worst": 0.06}, False, True, "near enough to develop with"),
        ({"changed": 5}, False, True, "near enough to develop with"),
        ({"changed": 6}, False, False, "too far apart: fp32 is used"),
        ({"worst": 0.3, "mean": 0.051}, False, False, "too far apart: fp32 is used"),
        ({"worst": None, "mean": None}, False, False, "are no numbers"),
    ],
)
def test_a_gate_has_one_verdict(changes: dict[str, Any], holds: bool, near: bool, verdict: str) -> None:
    found = gate(**changes)
    assert (found.holds, found.near) == (holds, near)
    assert verdict in found.told()


def test_a_verdict_tells_the_worst_token_and_the_texts_that_differ() -> None:
    told = gate(worst=0.1234, texts_differ=3).told()
    assert "at most 0.12 nats, 0.01 on average" in told and "3 of 8 greedy texts differ" in told


def test_a_scorecard_without_the_field_is_a_whole_runs_and_stays_as_it_is() -> None:
    card = Scorecard.model_validate(CARD)
    assert card.fast is None and card.whole() is card
    assert json.loads(card.model_dump_json()).keys() == CARD.keys() | {"schema_version", "declared_falsely"}


def test_a_fast_scorecard_says_so_in_its_file_and_counts_nowhere() -> None:
    fast = Fast(precision="bf16", probes=34, of=100, gate=gate())
    text = Scorecard.model_validate(CARD | {"fast": fast}).model_dump_json()
    assert json.loads(text)["fast"]["precision"] == "bf16"
    again = Scorecard.model_validate_json(text)
    assert again.fast == fast and fast.label == "FAST, no board score: bf16, 34 of 100 probes"
    with pytest.raises(FastRefused, match=r"scorecard.fast: run try-1 .*34 of 100 probes.* without --fast"):
        again.whole()


def test_where_no_gate_was_tried_the_reason_is_told() -> None:
    assert Fast(precision="fp32", probes=1, of=3, reason="no bf16 here").told() == "no bf16 here"
