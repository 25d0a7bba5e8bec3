"""How measuring grows: lines and plots of made-up figures, sizes kept and missing, and one entry of the toy world."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from evaluator.contract import ReleaseCard
from evaluator.home import Home
from evaluator.performance import growth
from evaluator.performance.fit import Fit, linear_fit, plot
from evaluator.performance.growth import Missing, Results, Series, bench_home, growth_bench, release_make, size_measure
from evaluator.performance.growth_report import growth_text, growth_write
from evaluator.performance.measuring import PARTS, QUESTIONS, UTILITY, Clock, groups_of
from evaluator.probes import probes_load


def test_a_line_through_points_on_a_line_is_that_line() -> None:
    found = linear_fit([10, 20, 50], [35.0, 60.0, 135.0])
    assert found is not None
    assert [found.a, found.b, found.r2] == pytest.approx([10, 2.5, 1])
    assert found.at(100) == pytest.approx(260) and found.text() == "10.0 + 2.50·n"


def test_points_beside_a_line_are_explained_in_part() -> None:
    found = linear_fit([1, 2, 3, 4], [1.0, 3.0, 2.0, 4.0])
    assert found is not None
    # By hand: b = 4/5, a = 1/2, and 1.8 of 5 is left.
    assert [found.a, found.b, found.r2] == pytest.approx([0.5, 0.8, 1 - 1.8 / 5])
    assert Fit(1, -0.5, None).text() == "1.0 − 0.50·n"


def test_where_r2_says_nothing_there_is_none() -> None:
    two, flat = linear_fit([1, 2], [3.0, 5.0]), linear_fit([1, 2, 3], [4.0, 4.0, 4.0])
    assert two is not None and two.b == pytest.approx(2) and two.r2 is None
    assert flat is not None and flat.b == 0 and flat.r2 is None
    assert linear_fit([5], [1.0]) is None and linear_fit([5, 5], [1.0, 2.0]) is None and linear_fit([], []) is None


def test_a_plot_has_every_point_at_its_place() -> None:
    drawn = plot([0, 50, 100], [0.0, 100.0, 50.0], None, across="requests", up="seconds").splitlines()
    assert drawn[0] == "seconds" and drawn[1].startswith("100 │") and drawn[-1].rstrip().endswith("100")
    rows = [line.split("│", 1)[1] for line in drawn[1:-2]]
    places = {(number, column) for number, row in enumerate(rows) for column, sign in enumerate(row) if sign == "●"}
    assert places == {(12, 0), (0, 28), (6, 56)}
    with_line = plot([10, 20], [10.0, 20.0], linear_fit([10, 20], [10.0, 20.0]), across="n", up="s")
    assert with_line.count("●") == 2 and with_line.count("·") >= 50


def test_a_second_within_two_stretches_counts_for_the_inner_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 4.0, 10.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    clock = Clock()
    with clock.of("outer"), clock.of("inner"):
        pass
    assert clock.seconds("outer")["wall_s"] == 7 and clock.seconds("inner")["wall_s"] == 3
    assert clock.seconds("never")["wall_s"] == 0


def record(size: int, cpu_s: float, number: int = 1) -> dict[str, Any]:
    part = {"wall_s": cpu_s / 2, "cpu_s": cpu_s}
    return {
        "requests": size,
        "round": number,
        "rows": 10 * size,
        "whole": part,
        "parts": {"generation": part},
        "groups": {QUESTIONS: {"probes": size, **part}, "context": {"probes": size, **part}},
        "peak_mb": 1000,
    }


def test_the_median_of_the_rounds_counts_and_what_is_not_there_is_nothing() -> None:
    series = Series("toy-world", {10: [record(10, s, n) for n, s in enumerate((5.0, 9.0, 6.0))]})
    assert series.median(10, "whole", "cpu_s") == 6
    assert math.isnan(series.median(10, "groups", "dialogue", "cpu_s"))


def test_the_report_names_lines_and_what_is_missing(tmp_path: Path) -> None:
    found = {size: [record(size, 20 + 3.0 * size)] for size in (10, 20, 50)}
    series = Series("pretrained-facts", found, [Missing(200, "the base knows too few facts")])
    text = growth_text([series, Series("toy-world", {2: [record(2, 1.0)]})], rounds=1)
    assert "| all of it, CPU-s | 50.0 | 80.0 | 170.0 | 20.0 + 3.00·n | 1.000 |" in text
    assert "| alone: context, CPU-s | 50.0 | 80.0 | 170.0 |" in text
    assert "Missing, since the base knows too few facts of the public pool: 200 requests." in text
    assert text.count("```text") == 1, "one point is no curve"
    assert "**toy-world** (for the shape of the curve alone" in text
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- growth: begin -->\nold\n<!-- growth: end -->\nafter\n")
    growth_write(page, [series], rounds=1)
    assert "old" not in page.read_text() and page.read_text().endswith("<!-- growth: end -->\nafter\n")


def test_a_size_measured_before_is_not_measured_again(
    tmp_path: Path, toy_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Path] = []

    def measure(base: Path, release: Path, *_: Any) -> dict[str, Any]:
        measured.append(release)
        return record(5, 1.0)

    card = json.loads((toy_home / "cards" / "toy-world-5-public.json").read_text())
    built = ReleaseCard.model_validate(card)
    monkeypatch.setattr(growth, "size_measure", measure)
    monkeypatch.setattr(
        growth, "release_make", lambda _h, _b, size: built if size == 5 else Missing(size, "too few facts")
    )
    home = Home(tmp_path)
    (tmp_path / "bench" / "releases" / "public" / card["slug"]).mkdir(parents=True)
    (tmp_path / "bench" / "releases" / "public" / card["slug"] / "card.json").write_text(json.dumps(card))

    def run() -> list[Series]:
        return growth_bench(
            home, say=lambda _: None, series={"toy-world": (5, 99)}, foreign=math.inf, idle=lambda: None
        )

    first, second = run(), run()
    assert len(measured) == 1
    assert first[0].found == second[0].found and second[0].missing == [Missing(99, "too few facts")]
    # Another release, evaluator, machine or number of threads is another measurement.
    kept = Results(tmp_path / "bench" / growth.RESULTS)
    assert kept.find({"release": card["slug"], "round": 1}) is not None
    assert kept.find({"release": card["slug"], "round": 1, "content": "another"}) is None


def test_a_busy_machine_measures_no_size(tmp_path: Path, toy_home: Path) -> None:
    def busy() -> None:
        raise ValueError("machine: other processes use 1.00 cores")

    (tmp_path / "models").symlink_to(toy_home / "models")
    own = bench_home(Home(tmp_path))
    (own.root / "releases").symlink_to(toy_home / "releases")
    with pytest.raises(ValueError, match="machine: other processes"):
        growth_bench(Home(tmp_path), say=lambda _: None, series={"toy-world": (5,)}, idle=busy)
    assert not (own.root / growth.RESULTS).exists()


def test_a_size_that_the_pool_does_not_hold_is_missing(tmp_path: Path, toy_home: Path) -> None:
    (tmp_path / "models").symlink_to(toy_home / "models")
    own = bench_home(Home(tmp_path))
    assert own.models.resolve() == (toy_home / "models").resolve()
    found = release_make(own, "toy-world", 60)
    assert isinstance(found, Missing) and found.size == 60
    assert "knows" in found.reason and not list(own.releases("public").iterdir())
    with pytest.raises(ValueError, match="release: no-benchmark with 5 requests can't be built"):
        release_make(own, "no-benchmark", 5)


def test_every_part_of_measuring_a_real_entry_is_there(toy_home: Path) -> None:
    release = toy_home / "releases" / "public" / "toy-world-5-public"
    found = size_measure(toy_home / "models" / "toy-llama", release, 1, math.inf, lambda _: None)
    probes = probes_load(release / "probes.jsonl")
    verbatim = sum(probe.kind == "verbatim" and not probe.condition for probe in probes)
    # Two attacks ask the plain questions once more: drawn answers, and rounded weights.
    assert found["rows"] == len(probes) + 2 * verbatim
    assert set(found["parts"]) == set(PARTS)
    assert all(found["parts"][part]["cpu_s"] > 0 for part in PARTS)
    assert found["whole"]["cpu_s"] == pytest.approx(sum(part["cpu_s"] for part in found["parts"].values()))
    groups = groups_of(probes)
    assert set(found["groups"]) == set(groups) >= {QUESTIONS, UTILITY, "dialogue"}
    assert {name: group["probes"] for name, group in found["groups"].items()} == {
        name: len(group) for name, group in groups.items()
    }
    assert found["peak_mb"] > 100 and found["accepted"] > 0
