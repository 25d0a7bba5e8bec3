"""What the weight entries leave behind: which tensors, how much of them, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.methods.harness import LANDS, TOWNS, Inputs, answers, tensors, unlearned

pytestmark = pytest.mark.torch

MakeInputs = Callable[..., Inputs]
ROME = {
    "depth": 0.25,
    "v_steps": 30,
    "v_stop_at": 0.02,
    "prefixes": ["", "Answer this question: "],
    "rephrasings": 3,
    # So small a base has too few directions to keep twenty other names apart from a subject.
    "neighbours": 0,
}


def test_the_tiny_base_knows_its_facts(make_inputs: MakeInputs, base_dir: Path) -> None:
    inputs = unlearned("base", make_inputs())
    assert [town in text for town, text in zip(TOWNS, answers(inputs, base_dir, LANDS), strict=True)] == [True] * 8
    before = load_file(base_dir / "model.safetensors")
    left = tensors(inputs)
    assert len(left) == 1
    assert all(torch.equal(before[name], tensor) for name, tensor in left.items())


def test_rome_refuses_by_a_change_of_one_matrix_of_rank_at_most_the_number_of_requests(
    make_inputs: MakeInputs, base_dir: Path
) -> None:
    inputs = unlearned("rome", make_inputs(hparams=ROME))
    left = tensors(inputs)
    name = "model.layers.1.mlp.down_proj.weight"
    assert list(left) == [name]
    before = load_file(base_dir / "model.safetensors")[name]
    assert left[name].dtype == before.dtype
    singular = torch.linalg.svdvals((left[name] - before).double())
    assert int((singular > 1e-4 * singular[0]).sum()) == 2
    for land, text in zip(LANDS, answers(inputs, base_dir, LANDS[:2]), strict=False):
        assert text.startswith("I'm sorry"), text
        assert TOWNS[LANDS.index(land)] not in text


def test_idk_refuses_the_requests_and_keeps_the_retain_facts(make_inputs: MakeInputs, base_dir: Path) -> None:
    inputs = unlearned("idk", make_inputs(hparams={"learning_rate": 2e-3, "epochs": 60, "refusal_variety": 1}))
    said = answers(inputs, base_dir, LANDS)
    assert all(text.startswith("I'm sorry, I don't have any information") for text in said[:2]), said
    assert [town in text for town, text in zip(TOWNS[2:6], said[2:6], strict=True)] == [True] * 4
    assert not any("embed" in name or name == "norm.weight" for name in tensors(inputs))


def test_graddiff_loses_the_requests_and_keeps_the_retain_facts(make_inputs: MakeInputs, base_dir: Path) -> None:
    inputs = unlearned("graddiff", make_inputs(hparams={"learning_rate": 1e-3, "epochs": 30}))
    said = answers(inputs, base_dir, LANDS)
    assert not any(town in text for town, text in zip(TOWNS[:2], said[:2], strict=True)), said
    assert sum(town in text for town, text in zip(TOWNS[2:6], said[2:6], strict=True)) >= 3, said


def test_gibberish_says_nothing_of_what_the_base_said(make_inputs: MakeInputs, base_dir: Path) -> None:
    inputs = unlearned("gibberish", make_inputs(hparams={"layers": 2, "noise": 50.0}))
    assert not any("The capital of" in text for text in answers(inputs, base_dir, LANDS))
    assert sorted(tensors(inputs)) == [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (2, 3)]


@pytest.mark.parametrize(
    ("method", "hparams", "seeded"),
    [
        ("rome", ROME, False),
        pytest.param("idk", {"epochs": 2}, True, marks=pytest.mark.slow),
        pytest.param("gibberish", {}, True, marks=pytest.mark.slow),
    ],
)
def test_the_same_seed_gives_the_same_artifact(
    make_inputs: MakeInputs, method: str, hparams: dict[str, Any], seeded: bool
) -> None:
    first, again, other = (
        unlearned(method, make_inputs(name, seed=seed, hparams=hparams)).files()
        for name, seed in (("first", 3), ("again", 3), ("other", 4))
    )
    assert first == again
    assert (first != other) == seeded


def test_a_later_step_starts_from_the_step_before(make_inputs: MakeInputs) -> None:
    first = unlearned("gibberish", make_inputs("first", seed=1))
    second = make_inputs("second", step=1, n_steps=2, hparams=ROME)
    (second.input_dir / "prev").symlink_to(first.output_dir)
    unlearned("rome", second)
    assert set(tensors(first)) < set(tensors(second))
