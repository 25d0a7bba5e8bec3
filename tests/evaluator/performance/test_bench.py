"""The bench compares like with like, refuses a busy machine, and writes what it found where it belongs."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from evaluator.model.local import model_load
from evaluator.performance.contenders import OneForwardAMetric, Palimpsest, contender
from evaluator.performance.engine import Sizes, engine_compare, parity_require, per_token_gap, worst_gap
from evaluator.performance.machine import require_idle
from evaluator.performance.near import near_base
from evaluator.performance.report import BEGIN, END, Line, Report
from evaluator.performance.worker import Setting
from evaluator.performance.workers import Asked, Ended, Rounds, Worker, rounds_run
from evaluator.performance.workload import Item, Workload, kept_work
from evaluator.probes import probes_load


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
    worker = Worker(Setting("lm-eval:1", str(toy_home / "models" / "toy-llama"), 1))
    with pytest.raises(Ended, match="lm-eval:1 ended with status -9"):
        worker.ask("generate", 1000, within_s=0.5)
    worker.close()
    assert worker.process.poll() is not None


def test_a_contender_that_dies_says_why(toy_home: Path) -> None:
    with pytest.raises(Ended, match=r"(?s)nobody ended with status 1: .*contender: 'nobody' is unknown"):
        Worker(Setting("nobody", str(toy_home / "models" / "toy-llama"), 1))


def test_a_gap_is_counted_a_token() -> None:
    ours: dict[str, list[float]] = {"continuation_tokens": [2, 0], "answer": [-4.0, 0.5]}
    assert per_token_gap(ours, {"answer": [-5.0, 0.25]}) == 0.5


def test_nothing_is_timed_when_numbers_differ() -> None:
    said: list[str] = []
    parity_require([Line("texts", 0, 0)], said.append)
    with pytest.raises(ValueError, match="parity: texts: 2"):
        parity_require([Line("nats", 0, 1), Line("texts", 2, 0)], said.append)
    assert len(said) == 3


class Scripted:
    """Answers from a list, as a contender's process would; the order in which it is asked is kept."""

    def __init__(self, name: str, asked: list[str]) -> None:
        self.name, self.asked = name, asked

    def ask(self, task: str, items: int = 0, **_: Any) -> dict[str, Any]:
        self.asked.append(self.name)
        return {"cpu_s": 0.0, "wall_s": 1.0}


def test_every_second_round_goes_backwards() -> None:
    order: list[str] = []
    workers: Any = {name: Scripted(name, order) for name in "ab"}
    found = rounds_run(workers, [Asked("a", "score"), Asked("b", "score")], 3, lambda _: None, float("inf"))
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert len(found["a", "score"].figures) == 3


def test_a_machine_that_is_never_idle_gives_no_figures() -> None:
    order: list[str] = []
    workers: Any = {"a": Scripted("a", order)}
    with pytest.raises(ValueError, match="machine: it did not stay idle"):
        rounds_run(workers, [Asked("a", "score")], 1, lambda _: None, foreign=-1.0)
    assert len(order) == 3


def test_an_entry_near_the_base_gets_the_bases_answers_as_drafts(toy_home: Path) -> None:
    base, release = toy_home / "models" / "toy-llama", toy_home / "releases" / "public" / "toy-world-5-public"
    model, tokenizer = model_load(base), AutoTokenizer.from_pretrained(base)
    near_base(model)
    work = kept_work(tokenizer, release)
    assert len(set(work.prompts)) == len(work.prompts) == len(work.base)
    first = [probe for probe in probes_load(release / "probes.jsonl") if probe.kind == "verbatim" and not probe.follows]
    assert first and all(any(probe.prompt in asked for asked in work.prompts) for probe in first)
    ours = Palimpsest(model, tokenizer)
    texts = ours.kept(work)
    counts = ours.counts()
    assert texts == contender("lm-eval:8", model, tokenizer).kept(work)
    assert sum(a == b for a, b in zip(texts, work.base, strict=True)) > len(texts) / 2
    assert counts["said"] / 2 < counts["accepted"] <= counts["guessed"]
    # A release that keeps no answer of its base has no drafts to give.
    with pytest.raises(ValueError, match="keeps no answer of its base"):
        ours.kept(dataclasses.replace(work, primitives=release / "none.sqlite"))


def test_the_whole_bench_goes_through_on_a_small_model(toy_home: Path) -> None:
    sizes = Sizes(items=2, full_items=3, threads=1, batches=("2",), kept_batches=("8",), foreign=float("inf"))
    release = toy_home / "releases" / "public" / "toy-world-5-public"
    found = engine_compare(toy_home / "models" / "toy-llama", release, sizes, rounds=1, say=lambda _: None)
    assert all(line.holds for line in found.parity) and len(found.parity) == 5
    assert len(found.targets) == 6 and all(line.value > 0 for line in found.targets)
    assert {task for _, task in found.figures} == {"score", "generate", "suite", "kept"}
    assert all(value and "nan" not in value for _, value in found.noted)
    assert "on the probes of a release: 8 " in found.table()


def report(share: float) -> Report:
    figures = {"wall_s": 1, "cpu_s": 2, "tokens": 3, "head_rows": 4, "forwards": 5, "peak_mb": 6}
    return Report(
        version="1",
        machine="a machine",
        rounds=1,
        items=2,
        tried={"8": 30.4, "auto": None},
        parity=[Line("difference", 1e-6, 1e-5)],
        kept_tried={"32": 71.0},
        targets=[Line("share", share, 0.75, at_least=True)],
        noted=[("memory, GB read a second", "21.0")],
        figures={("palimpsest", "score"): Rounds([figures])},
    )


def test_a_missed_target_is_said_and_fails_the_bench() -> None:
    assert report(0.8).passed and "| share | 0.8 | ≥ 0.75 | holds |" in report(0.8).table()
    assert not report(0.5).passed and "| share | 0.5 | ≥ 0.75 | missed |" in report(0.5).table()
    assert "8 30, auto stopped, too long; on the probes of a release: 32 71." in report(0.5).table()
    assert "| memory, GB read a second | 21.0 |" in report(0.5).table()


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
