"""The bench compares like with like, refuses a busy machine, and writes what it found where it belongs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from evaluator.model.local import model_load
from evaluator.performance.contenders import OneForwardAMetric, Palimpsest, contender
from evaluator.performance.engine import Ended, Rounds, Worker, worst_gap
from evaluator.performance.machine import require_idle
from evaluator.performance.report import BEGIN, END, Line, Report
from evaluator.performance.workload import Item, Workload


@pytest.fixture(scope="module")
def toy(toy_home: Path) -> tuple[Any, Any]:
    base = toy_home / "models" / "toy-llama"
    return model_load(base), AutoTokenizer.from_pretrained(base)


@pytest.fixture(scope="module")
def work(toy: tuple[Any, Any]) -> Workload:
    """Questions that end in a line break, as a chat template's do, with answers of mixed length."""
    words = sorted(w for w in toy[1].get_vocab() if w.isalpha())
    items = []
    for n in range(5):
        start = words[7 * n : 7 * n + 7]
        items.append(Item(" ".join(start[:4]) + "\n", tuple(" ".join(start[k:]) for k in range(4))))
    return Workload(tuple(items))


def test_our_metrics_are_those_of_one_forward_a_metric(toy: tuple[Any, Any], work: Workload) -> None:
    ours, texts = Palimpsest(*toy).suite(work)
    theirs, their_texts = OneForwardAMetric(*toy, batch_size="2").reference(work)
    assert texts == their_texts
    assert ours.keys() == theirs.keys() >= {"probability", "truth_ratio", "min_k++", "extraction_strength"}
    for name in theirs:
        assert worst_gap(ours[name], theirs[name]) <= 1e-5, name


def test_the_emulation_really_makes_one_forward_a_metric(toy: tuple[Any, Any], work: Workload) -> None:
    model, _ = toy
    passes = []
    hook = model.base_model.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        contender("one-forward:64", *toy).suite(work)
        many = len(passes)
        passes.clear()
        Palimpsest(*toy).suite(work)
    finally:
        hook.remove()
    # Seven metrics, one of them with two passes, and the other answers; then decoding.
    assert many >= 9 and len(passes) < many


def test_an_unknown_contender_names_the_known_ones(toy: tuple[Any, Any]) -> None:
    with pytest.raises(LookupError, match="palimpsest, lm-eval:BATCH"):
        contender("vllm", *toy)


@pytest.mark.parametrize("values", [([float("nan")], [0.5]), ([0.5], [float("nan")])])
def test_a_value_that_only_one_side_has_is_an_infinite_gap(values: tuple[list[float], list[float]]) -> None:
    assert worst_gap(*values) == float("inf")
    assert worst_gap([float("nan")], [float("nan")]) == 0


@pytest.fixture
def busy() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield
    process.kill()
    process.wait()


def test_a_busy_machine_is_refused(busy: None) -> None:
    with pytest.raises(ValueError, match=r"machine: other processes use .* cores"):
        require_idle(1.0)


def test_a_contender_that_takes_too_long_is_stopped(toy_home: Path) -> None:
    worker = Worker("lm-eval:1", toy_home / "models" / "toy-llama")
    with pytest.raises(Ended, match="lm-eval:1 ended with status -9"):
        worker.ask("generate", 1000, within_s=0.5)
    worker.close()
    assert worker.process.poll() is not None


def report(share: float) -> Report:
    figures = {"wall_s": 1, "cpu_s": 2, "tokens": 3, "head_rows": 4, "forwards": 5, "peak_mb": 6}
    return Report(
        version="1",
        machine="a machine",
        rounds=1,
        items=2,
        tried={"8": 30.4, "auto": None},
        parity=[Line("difference", 1e-6, 1e-5)],
        targets=[Line("share", share, 0.75, at_least=True)],
        figures={("palimpsest", "score"): Rounds([figures])},
    )


def test_a_missed_target_is_said_and_fails_the_bench() -> None:
    assert report(0.8).passed and "| share | 0.8 | ≥ 0.75 | holds |" in report(0.8).table()
    assert not report(0.5).passed and "| share | 0.5 | ≥ 0.75 | missed |" in report(0.5).table()
    assert "8 30, auto stopped, too long" in report(0.5).table()


def test_the_table_replaces_the_last_one_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n{BEGIN}\nwhat was measured last year\n{END}\nafter\n")
    report(0.8).write(page)
    report(0.9).write(page)
    text = page.read_text()
    assert text.startswith(f"# Before\n{BEGIN}\nEvaluator 1") and text.endswith(f"{END}\nafter\n")
    assert "last year" not in text and text.count("| share |") == 1 and "0.9" in text
    (tmp_path / "bare.md").write_text("nothing")
    with pytest.raises(ValueError, match=r"write: .* has no lines"):
        report(0.8).write(tmp_path / "bare.md")
    assert (tmp_path / "bare.md").read_text() == "nothing"
