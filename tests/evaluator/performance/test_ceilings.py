"""What a machine allows, and what the bench holds against it: arithmetic on figures that are made up here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from evaluator.performance.ceilings import ProductTimes, decoded, own_rate, useful_rate
from evaluator.performance.near import near_base
from evaluator.performance.passes import Pass, PassCounter
from evaluator.performance.products import Products, copy_rate, largest_cache, read_rate
from evaluator.performance.targets import Ceilings, noted, sizes_of, target_lines
from evaluator.performance.workers import Rounds

TIMES = ProductTimes(
    trunk_weights=1000, head_weights=500, trunk={4: 0.01, 10: 0.02, 2: 0.008}, head={8: 0.004, 2: 0.002}
)


def test_the_rate_of_the_own_products_counts_padding_and_every_block_of_the_head() -> None:
    passes = [Pass(10, 7, 10, True, 1.0), Pass(4, 4, 4, True, 1.0)]
    # 16 rows of the head are two blocks of 8.
    work = 2 * (1000 * 14 + 500 * 16)
    assert own_rate(passes, 16, 8, TIMES) == pytest.approx(work / (0.02 + 0.01 + 2 * 0.004) / 1e9)
    with pytest.raises(ValueError, match="passes: none went through the model"):
        own_rate([], 0, 8, TIMES)


def test_useful_work_is_without_padding() -> None:
    figures = {"trunk_parameters": 1000, "useful_tokens": 7, "head_parameters": 500, "head_rows": 16, "wall_s": 0.5}
    assert useful_rate(figures) == pytest.approx(2 * (7000 + 8000) / 0.5 / 1e9)


def test_a_steps_bound_is_the_slower_of_memory_and_products() -> None:
    reading, memory_bound, product_bound = (
        Pass(10, 10, 10, True, 5.0),
        Pass(4, 4, 100, False, 0.5),
        Pass(2, 2, 10, False, 0.3),
    )
    times = ProductTimes(1, 1, {4: 0.1, 2: 0.2}, {4: 0.05, 2: 0.02})
    found = decoded(
        [reading, memory_bound, product_bound], weight_bytes=100, position_bytes=1, bytes_per_s=1000, products=times
    )
    # Memory: 0.2 and 0.11 s; products: 0.15 and 0.22 s.
    assert found.steps == 2 and found.took_s == pytest.approx(0.4)
    assert found.memory_s == pytest.approx((0.2 + 0.11) / 2) and found.products_s == pytest.approx((0.15 + 0.22) / 2)
    assert found.bound_s == pytest.approx((0.2 + 0.22) / 2) and found.share == pytest.approx(0.21 / 0.4)
    assert found.memory_share == pytest.approx(0.155 / 0.4)
    with pytest.raises(ValueError, match="passes: every answer ended with its first token"):
        decoded([reading], weight_bytes=100, position_bytes=1, bytes_per_s=1000)


def tiny() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=32, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    return LlamaForCausalLM(config).eval()


def test_passes_that_read_prompts_are_told_from_those_that_answer() -> None:
    model = tiny()
    counter = PassCounter(model)
    with torch.inference_mode():
        out = model.base_model(torch.tensor([[1, 2, 3], [0, 4, 5]]), position_ids=torch.tensor([[0, 1, 2], [0, 0, 1]]))
        cache = out.past_key_values
        model.base_model(input_ids=torch.tensor([[1], [2]]), past_key_values=None)
        # The first pass of a cache reads; a later one that begins as early reads too, further on it answers.
        model.base_model(
            input_ids=torch.tensor([[6, 7], [8, 0]]),
            position_ids=torch.tensor([[3, 4], [3, 0]]),
            past_key_values=cache,
        )
        model.base_model(
            input_ids=torch.tensor([[9], [9]]), position_ids=torch.tensor([[5], [4]]), past_key_values=cache
        )
    found = counter.take()
    passes = [Pass.of(record) for record in found["passes"]]
    assert found["tokens"] == 6 + 2 + 4 + 2 and found["forwards"] == 4
    assert [one.reading for one in passes] == [True, True, True, False]
    assert [one.seen for one in passes] == [5, 2, 9, 11]
    assert [one.real for one in passes][2:] == [3, 2]
    assert all(one.seconds >= 0 for one in passes)
    assert counter.take()["forwards"] == 0


def test_the_products_of_a_model_are_those_of_all_its_linear_layers() -> None:
    model = tiny()
    times = Products(model).times([3, 3], [2])
    assert times["trunk_weights"] == sum(
        weight.numel() for name, weight in model.model.named_parameters() if "proj" in name
    )
    assert times["head_weights"] == 32 * 8
    assert [rows for rows, _ in times["trunk"]] == [3] and [rows for rows, _ in times["head"]] == [2]
    assert all(seconds > 0 for _, seconds in times["trunk"] + times["head"])


def test_memory_is_measured_in_bytes_a_second() -> None:
    assert read_rate(2**20) > 0 and copy_rate(torch.device("cpu"), 2**20) > 0


def test_the_largest_cache_is_read_in_its_unit(tmp_path: Path) -> None:
    for number, size in enumerate(("48K", "2M", "no size")):
        (tmp_path / f"index{number}").mkdir()
        (tmp_path / f"index{number}" / "size").write_text(f"{size}\n")
    assert largest_cache(tmp_path) == 2 * 2**20
    assert largest_cache(tmp_path / "elsewhere") == 0


def test_the_noise_is_the_same_every_time_and_on_one_matrix_alone() -> None:
    base, once, again = tiny(), tiny(), tiny()
    name = near_base(once)
    assert near_base(again) == name == "model.layers.1.mlp.down_proj.weight"
    for (which, a), (_, b), (_, c) in zip(
        base.named_parameters(), once.named_parameters(), again.named_parameters(), strict=True
    ):
        assert torch.equal(b, c)
        assert torch.equal(a, b) is (which != name)


# ---------------------------------------------------------------- targets

SCORED = {
    "trunk_parameters": 1000,
    "useful_tokens": 12,
    "head_parameters": 500,
    "head_rows": 8,
    "head_block": 8,
    "wall_s": 0.04,
    "passes": [(10, 8, 10, 1, 0.02), (4, 4, 4, 1, 0.02)],
}
GENERATED = {
    "weight_bytes": 6000,
    "position_bytes": 10,
    "passes": [(4, 4, 4, 1, 0.1), (3, 2, 20, 0, 0.02)],
}


def reading() -> Ceilings:
    products = {
        "trunk_weights": 1000,
        "head_weights": 500,
        "trunk": [(2, 0.004), (4, 0.01), (10, 0.018)],
        "head": [(2, 0.001), (8, 0.002)],
    }
    return Ceilings.of(SCORED, GENERATED, square=4e-3, products=products, bytes_per_s=1e6)


def test_what_is_asked_of_the_machine_is_what_passed_through_it() -> None:
    assert sizes_of(SCORED, GENERATED) == {"trunk": [2, 4, 10], "head": [2, 8]}
    found = reading()
    assert found.scoring == pytest.approx(2 * (12_000 + 4_000) / 0.04 / 1e9)
    assert found.own == pytest.approx(2 * (14_000 + 4_000) / 0.03 / 1e9)
    assert found.own_share == pytest.approx(8e-4 / 1.2e-3) and found.square_share == pytest.approx(0.2)
    # One step: 6,200 bytes at a million a second, products 5 ms.
    assert found.decoding.bound_s == pytest.approx(6.2e-3) and found.decoding.share == pytest.approx(0.31)


def figures(cpu_s: float, **more: float) -> Rounds:
    return Rounds([{"cpu_s": cpu_s, "peak_mb": 900.0, **more}])


FOUND = {
    ("ours", "score"): figures(1.0),
    ("theirs", "score"): figures(9.0),
    ("ours", "generate"): figures(4.0),
    ("theirs", "generate"): figures(11.0),
    ("ours", "suite"): figures(6.0),
    ("one", "suite"): figures(60.0),
    ("ours", "kept"): figures(20.0, guessed=200, accepted=150, same_as_base=40, prompts=50),
    ("theirs 32", "kept"): figures(80.0),
}


def test_every_target_is_the_ratio_that_it_says() -> None:
    lines = target_lines(
        FOUND, ours="ours", theirs="theirs", theirs_kept="theirs 32", one="one", weights_mb=500.0, ceilings=[reading()]
    )
    by_name = {line.what: line for line in lines}
    assert [line.value for line in lines] == pytest.approx([4 / 11, 20 / 80, 5 / 20, 6 / 60, 2 / 3, 900 - 500])
    assert [line.limit for line in lines] == [0.40, 0.30, 0.25, 0.12, 0.85, 1024]
    assert [line.holds for line in lines] == [True, True, True, True, False, True]
    assert by_name["scoring rate, share of the rate of the model's own products"].at_least


def test_what_the_drafts_were_worth_is_said() -> None:
    said = dict(noted(FOUND, ours="ours", ceilings=[reading()]))
    assert said["answers of the entry that keeps most: the base's, word for word"] == "40 of 50"
    assert said["… tokens guessed ahead that were right"] == "150 of 200 (75 %)"
    assert said["… share of its bound (the slower of both)"] == "0.31"
    nothing = {**FOUND, ("ours", "kept"): figures(20.0, guessed=0, accepted=0, same_as_base=0, prompts=50)}
    assert dict(noted(nothing, ours="ours", ceilings=[reading()]))["… tokens guessed ahead that were right"] == "0 of 0"
