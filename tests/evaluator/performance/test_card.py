"""The bench of a CUDA card: its arithmetic, its refusal without one, and the whole way through on the processor."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from evaluator.cli.organiser import _app
from evaluator.performance.card import CardReport, card_bench, card_text, card_write, contenders_of, device_require
from evaluator.performance.ceilings import Decoded
from evaluator.performance.report import Line
from evaluator.performance.workers import Rounds

needs_no_card = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA card")


def report(texts: int = 0) -> CardReport:
    def rounds(wall_s: float, tokens: int, task: str) -> Rounds:
        name = "asked_tokens" if task == "score" else "said_tokens"
        return Rounds([{"wall_s": wall_s * n, name: tokens, "card_peak_mb": 100.0 * n} for n in (1, 2, 3)])

    figures = {
        (name, task): rounds(wall_s, tokens, task)
        for name, wall_s in (("palimpsest", 1.0), ("lm-eval:32", 4.0))
        for task, tokens in (("score", 8000), ("generate", 400))
    }
    return CardReport(
        base="a-base",
        device="a card",
        items=9,
        rounds=3,
        batch="32",
        parity=[Line("greedy texts that differ (lm-eval hf)", texts, 0)],
        figures=figures,
        others={"vllm": (0.002, 3)},
        bytes_per_s=4e12,
        decoding=Decoded(steps=60, took_s=0.01, memory_s=0.004, products_s=0.0, bound_s=0.004),
    )


def test_tokens_a_second_are_those_of_the_median_round() -> None:
    assert report().tokens_per_s("palimpsest", "score") == 4000
    assert report().tokens_per_s("lm-eval:32", "generate") == 50
    text = card_text([report()])
    assert "| palimpsest | 4000 | 200 | 2.00 | 2.00 | 300 |" in text
    assert "4000 GB/s" in text and "10.00 ms, 4.00 ms at that rate: 40 % of the memory's bandwidth" in text
    assert "vllm: 0.002 nats a token away at most, 3 of 9 texts differ." in text


def test_a_text_that_differs_from_lm_evals_fails_the_bench() -> None:
    assert report().passed and not report(1).passed


def test_the_report_has_a_place_of_its_own(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- measured: begin -->\nengine\n<!-- measured: end -->\n<!-- card: begin -->\n<!-- card: end -->\n"
    )
    card_write(page, [report()])
    assert "engine" in page.read_text() and "**a-base**" in page.read_text()


@needs_no_card
def test_without_a_card_there_is_one_clear_error() -> None:
    done = CliRunner().invoke(_app(["bench"]), ["bench", "gpu"])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: device: no CUDA card is in reach of torch") and done.stderr.count("\n") == 1
    with pytest.raises(ValueError, match="device: 'meta' is neither cuda nor cpu"):
        device_require("meta")


def test_what_is_for_a_card_alone_is_refused_elsewhere() -> None:
    done = CliRunner().invoke(_app(["bench"]), ["bench", "statistics", "--device", "cpu"])
    assert done.exit_code == 2 and "base, device: are for gpu alone" in done.stderr


def test_vllm_is_measured_where_it_is_there_and_has_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "vllm" else None)
    assert contenders_of("cuda", "lm-eval:8") == ["palimpsest", "lm-eval:8", "vllm"]
    assert contenders_of("cpu", "lm-eval:8") == ["palimpsest", "lm-eval:8"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert contenders_of("cuda", "lm-eval:8") == ["palimpsest", "lm-eval:8"]


def test_a_folder_that_is_no_base_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"base: .* has no config.json"):
        card_bench([tmp_path], device="cpu", idle=lambda: None)


def test_the_whole_way_through_on_the_processor(toy_home: Path) -> None:
    base = toy_home / "models" / "toy-llama"
    found = card_bench([base], device="cpu", rounds=1, items=2, batches=("2",), say=lambda _: None, idle=lambda: None)
    assert [one.base for one in found] == ["toy-llama"] and found[0].passed and found[0].batch == "2"
    for name in ("palimpsest", "lm-eval:2"):
        assert all(0 < found[0].tokens_per_s(name, task) < math.inf for task in ("score", "generate"))
    assert found[0].bytes_per_s > 0 and found[0].decoding is not None and found[0].decoding.memory_share > 0
    assert "| palimpsest |" in card_text(found)
