"""A board's ranking from traces and scorecards: differences to the base and the next, pairs, seeds, bad input."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import ValidationError

from evaluator.analysis.rank import RankSpec, rank
from evaluator.contract import Scorecard
from evaluator.contract.values import ERASED
from evaluator.home import Home
from evaluator.measures.metrics.axes import PARTS
from evaluator.measures.metrics.board import COSTS, METRICS
from evaluator.measures.statistics import ProbeTable, Resampler, metric_intervals
from evaluator.trace import trace_write
from tests.evaluator.measures.statistics.worlds import World

GOOD = World(forgetting=0.95, kept=0.95, refusal=0.9, over_refusal=0.02, subjects=20)
FAIR = World(forgetting=0.5, kept=0.8, refusal=0.4, over_refusal=0.1, subjects=20)
BASE = World(forgetting=0.02, kept=1.0, refusal=0.0, over_refusal=0.0, subjects=20)


class Bench:
    """Writes runs as the evaluator leaves them and ranks them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def run(
        self, table: ProbeTable, *, release: str = "r-20", division: Literal["weights", "system"] = "weights"
    ) -> dict[str, str]:
        self.count += 1
        trace, card = self.folder / f"{self.count}.parquet", self.folder / f"{self.count}.json"
        rows = [
            {
                "item_id": f"i{n:05d}",
                "subject_key": subject,
                "kind": kind,
                "base_correct": known,
                "condition": condition,
            }
            | {name: None if math.isnan(column[n]) else float(column[n]) for name, column in table.values.items()}
            for n, (subject, kind, known, condition) in enumerate(
                zip(table.subject_key, table.kind, table.base_correct, table.conditions, strict=True)
            )
        ]
        trace_write(trace, [{name: row.get(name) for name in _columns()} for row in rows])
        card.write_text(
            Scorecard(
                run_id=str(self.count),
                release=release,
                evaluator="1",
                seed=0,
                division=division,
                stores_forget_text=False,
                metrics=(*(metric.info() for metric in METRICS), *COSTS),
                scores=(),
            ).model_dump_json()
        )
        return {"trace": str(trace), "scorecard": str(card)}

    def rank(self, entries: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
        spec = {"release": "r-20", "content_sha256": "c", "evaluator": "1", "resamples": 1000, "entries": entries}
        return rank(RankSpec.model_validate(spec | changes), Home.from_environment()).model_dump(mode="json")


def _columns() -> list[str]:
    from evaluator.trace.table import TRACE_SCHEMA

    return list(TRACE_SCHEMA.names)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def entries(bench: Bench) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    fair = FAIR.draw(rng)
    return [
        {"id": "base", "control": "base", "runs": [bench.run(BASE.draw(rng))]},
        {"id": "fair", "runs": [bench.run(fair)]},
        {"id": "good", "runs": [bench.run(GOOD.draw(rng)) for _ in range(3)]},
        {"id": "twin", "runs": [bench.run(fair)]},
    ]


def test_every_entry_says_how_far_it_is_from_the_base_and_from_the_next(
    bench: Bench, entries: list[dict[str, Any]]
) -> None:
    board = bench.rank(entries)
    by_id = {entry["id"]: entry for entry in board["entries"]}
    assert [entry["id"] for entry in board["entries"]] == ["good", "fair", "twin", "base"]
    to_base, to_next = by_id["good"]["differences"]["base"], by_id["good"]["differences"]["next"]
    assert to_base["id"] == "base" and to_next["id"] == "fair"
    gap = by_id["good"]["scores"]["overall"]["value"] - by_id["fair"]["scores"]["overall"]["value"]
    assert to_next["value"] == pytest.approx(gap, abs=0.011)  # each of the three is rounded to two decimals
    assert 0 < to_next["low"] < to_next["value"] < to_next["high"] and to_next["p"] <= to_next["p_holm"] <= 0.05
    assert by_id["fair"]["differences"]["next"] == {
        "id": "twin", "value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "p_holm": 1.0
    }  # fmt: skip
    assert by_id["base"]["differences"] == {"base": None, "next": None}
    assert by_id["fair"]["tied_with"] == ["twin"]


def test_pairs_agree_with_the_differences_and_the_ties(bench: Bench, entries: list[dict[str, Any]]) -> None:
    board = bench.rank(entries)
    pairs = board["pairs"]["overall"]
    assert pairs["ids"] == ["base", "fair", "good", "twin"]
    assert [len(row) for row in pairs["low"]] == [len(row) for row in pairs["p_holm"]] == [3, 2, 1, 0]
    to_base = board["entries"][0]["differences"]["base"]
    # Row "base" holds base minus good: the same interval turned round.
    assert (-pairs["high"][0][1], -pairs["low"][0][1]) == (to_base["low"], to_base["high"])
    assert pairs["p_holm"][1][1] == 1.0
    assert set(board["pairs"]) == {metric.key for metric in METRICS if metric.headline}
    assert 0 < board["mde"] < 1


def test_seeds_are_reported_where_there_are_several(bench: Bench, entries: list[dict[str, Any]]) -> None:
    seeds = {entry["id"]: entry["seed_spread"] for entry in bench.rank(entries)["entries"]}
    assert seeds["fair"] is None and seeds["good"]["n"] == 3
    assert set(seeds["good"]) == {"n", "between", "within", "residual"} and seeds["good"]["residual"] > 0


def test_the_order_of_entries_changes_nothing(bench: Bench, entries: list[dict[str, Any]]) -> None:
    assert json.dumps(bench.rank(entries)) == json.dumps(bench.rank(entries[::-1]))


def test_an_interval_on_the_board_is_that_of_the_scorecard(bench: Bench, entries: list[dict[str, Any]]) -> None:
    fair = FAIR.draw(np.random.default_rng(0))  # as the fixture draws it
    alone = metric_intervals(fair, Resampler(fair, key="r-20:c", resamples=1000))
    row = next(entry for entry in bench.rank(entries)["entries"] if entry["id"] == "fair")
    assert row["scores"]["har"]["low"] == pytest.approx(alone.low["har"], abs=6e-3)
    assert row["scores"]["overall"]["high"] == pytest.approx(alone.high["overall"], abs=6e-3)


def test_what_was_not_run_comes_last_and_is_compared_with_nothing(bench: Bench, entries: list[dict[str, Any]]) -> None:
    broken = FAIR.draw(np.random.default_rng(1))
    broken.values["har"][:] = np.nan
    board = bench.rank([{"id": "a-broken", "runs": [bench.run(broken)]}, *entries])
    last = board["entries"][-2]
    assert board["entries"][-1]["id"] == "base"
    assert last["id"] == "a-broken" and last["rank"] is None and last["scores"]["overall"]["value"] is None
    assert last["differences"] == {"base": None, "next": None}
    assert board["entries"][-3]["differences"]["next"] is None
    assert "a-broken" not in board["pairs"]["overall"]["ids"]
    assert "a-broken" in board["pairs"]["locality"]["ids"]


def test_weights_and_systems_are_ranked_apart_and_controls_not_at_all(bench: Bench) -> None:
    rng = np.random.default_rng(3)
    entries = [
        {"id": "guard", "control": "other", "runs": [bench.run(GOOD.draw(rng), division="system")]},
        {"id": "server", "runs": [bench.run(GOOD.draw(rng), division="system")]},
        {"id": "slow-server", "runs": [bench.run(BASE.draw(rng), division="system")]},
        {"id": "edit", "runs": [bench.run(FAIR.draw(rng))]},
        {"id": "base", "control": "base", "runs": [bench.run(BASE.draw(rng))]},
    ]
    board = bench.rank(entries)
    placed = [(entry["id"], entry["rank"]) for entry in board["entries"]]
    assert placed == [("edit", 1), ("server", 1), ("slow-server", 2), ("guard", None), ("base", None)]
    by_id = {entry["id"]: entry for entry in board["entries"]}
    assert by_id["edit"]["differences"]["next"] is None, "the next is one of the same division"
    assert by_id["server"]["differences"]["next"]["id"] == "slow-server"
    assert by_id["guard"]["tied_with"] == []
    assert by_id["guard"]["differences"]["base"]["value"] > 0, "controls are compared all the same"
    assert not by_id["guard"]["pareto"]
    assert by_id["edit"]["pareto"]


def test_an_entry_that_has_all_that_the_base_had_says_that_the_knowledge_is_intact(bench: Bench) -> None:
    rng = np.random.default_rng(4)

    def table(share: float) -> ProbeTable:
        found = GOOD.draw(rng)
        for name in ERASED:
            found.values[f"base_{name}"][:] = 0.5
            found.values[name][:] = 0.5 * share
        return found

    whole, half = bench.run(table(1.0), division="system"), bench.run(table(0.5), division="system")
    board = bench.rank([{"id": "guard", "runs": [whole]}, {"id": "edit", "runs": [half]}])
    assert {entry["id"]: entry["knowledge_intact"] for entry in board["entries"]} == {"guard": True, "edit": False}


def test_a_server_s_own_words_fill_no_column_and_count_for_nothing(bench: Bench) -> None:
    rng = np.random.default_rng(6)
    honest, boastful = GOOD.draw(rng), GOOD.draw(np.random.default_rng(6))
    for name in ERASED:
        boastful.values[name][:] = 1e-9
    runs = {"honest": bench.run(honest, division="system"), "boastful": bench.run(boastful, division="system")}
    board = bench.rank([{"id": name, "runs": [run]} for name, run in runs.items()])
    scores = {entry["id"]: entry["scores"] for entry in board["entries"]}
    assert all(scores[name]["erasure"]["value"] is None for name in runs)
    assert scores["honest"]["overall"]["value"] == scores["boastful"]["overall"]["value"] is not None


def test_a_table_says_how_the_order_moves_when_a_part_is_left_out(bench: Bench) -> None:
    """Of two entries, one says nonsense instead: first as soon as nobody asks how it refuses."""
    rng = np.random.default_rng(7)
    rude, polite = replace(GOOD, refusal=0.2), replace(GOOD, forgetting=0.7)
    runs = {"rude": bench.run(rude.draw(rng)), "polite": bench.run(polite.draw(rng))}
    board = bench.rank([{"id": name, "runs": [run]} for name, run in runs.items()])
    by_id = {entry["id"]: entry for entry in board["entries"]}
    assert by_id["polite"]["rank"] == 1 and set(by_id["polite"]["rank_without"]) == set(PARTS)
    assert {name: entry["rank_without"]["har"] for name, entry in by_id.items()} == {"rude": 1, "polite": 2}
    assert by_id["polite"]["rank_without"]["utility"] == 1


def test_a_board_of_nobody_and_of_one_are_boards(bench: Bench, entries: list[dict[str, Any]]) -> None:
    assert bench.rank([]) == {"columns": [], "entries": [], "pairs": {}, "mde": None}
    board = bench.rank(entries[1:2])
    assert board["entries"][0]["rank"] == 1 and board["mde"] is None
    assert board["entries"][0]["differences"] == {"base": None, "next": None}


def test_entries_of_other_probes_releases_or_names_are_refused(bench: Bench, entries: list[dict[str, Any]]) -> None:
    rng = np.random.default_rng(2)
    other = {"id": "other", "runs": [bench.run(World(subjects=5).draw(rng))]}
    with pytest.raises(ValueError, match="other holds other probes"):
        bench.rank([*entries, other])
    foreign = {"id": "foreign", "runs": [bench.run(FAIR.draw(rng), release="r-5")]}
    with pytest.raises(ValueError, match=r"foreign was scored on r-5 .* this board is r-20"):
        bench.rank([*entries, foreign])
    with pytest.raises(ValidationError, match="fair is there more than once"):
        bench.rank([*entries, entries[1]])
    with pytest.raises(ValidationError, match="a board has one"):
        bench.rank([*entries, {"id": "base2", "control": "base", "runs": entries[0]["runs"]}])
