"""The fine-tuning entries on the tiny world: what each forgets and keeps, and the property it is known by."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from methods.common.contract.errors import MethodError
from methods.common.model.base_model import BaseModel, model_load
from methods.common.model.states import block_states, own_part
from methods.common.targets.training_texts import pair
from methods.common.training.losses import (
    Reference,
    divergence,
    preference,
    response_logprob,
    response_nll,
    response_states,
)
from methods.rmu.method import direction
from methods.undial.method import lowered
from tests.methods.harness import LANDS, TOWNS, Inputs, answers, inputs_in, question, statement, tensors, unlearned_here

pytestmark = pytest.mark.torch

MakeInputs = Callable[..., Inputs]

FORGET, KEEP = LANDS[:2], LANDS[2:6]
#: The tiny base is wider awake than a real one: it takes larger steps.
HPARAMS: dict[str, dict[str, Any]] = {
    "ga": {"learning_rate": 5e-4, "epochs": 12},
    "kl": {"learning_rate": 1e-3, "epochs": 30},
    "npo": {"learning_rate": 1e-3, "epochs": 30},
    "simnpo": {"learning_rate": 1e-3, "epochs": 30},
    "dpo": {"learning_rate": 5e-4, "epochs": 40, "refusal_variety": 1, "retain_weight": 10.0},
    "rmu": {"learning_rate": 5e-3, "epochs": 80, "depth": 0.5, "coefficient": 3.0, "alpha": 20.0},
    "lunar": {"depth": 0.5, "template": False, "unanswerable": [], "invented": ["Ostia", "Brenna", "Caldor", "Dwyn"]},
    "task_vector": {"learning_rate": 1e-3, "epochs": 10, "alpha": 1.0},
    "undial": {"learning_rate": 1e-3, "epochs": 30},
}


def after(inputs: Inputs, base_dir: Path) -> BaseModel:
    return model_load(base_dir, threads=2, previous_dir=inputs.output_dir)


def nll(base: BaseModel, lands: tuple[str, ...]) -> float:
    with torch.no_grad():
        return float(response_nll(base, [pair(base.chat, question(land), statement(land)) for land in lands]).mean())


def kept(inputs: Inputs, base_dir: Path, lands: tuple[str, ...] = KEEP) -> int:
    said = answers(inputs, base_dir, lands)
    return sum(TOWNS[LANDS.index(land)] in text for land, text in zip(lands, said, strict=True))


def test_ga_climbs_the_loss_on_the_requests_and_reads_no_retain_fact(make_inputs: MakeInputs, base_dir: Path) -> None:
    inputs = make_inputs(hparams=HPARAMS["ga"])
    (inputs.input_dir / "retain.jsonl").unlink()
    unlearned_here("ga", inputs)
    assert nll(after(inputs, base_dir), FORGET) > nll(model_load(base_dir, threads=2), FORGET) + 1.0
    assert kept(inputs, base_dir, FORGET) == 0


def test_ga_diverges_when_nothing_stops_it(make_inputs: MakeInputs, base_dir: Path) -> None:
    inputs = unlearned_here("ga", make_inputs(hparams={"learning_rate": 2e-3, "epochs": 60, "forget_cap": 1e3}))
    assert kept(inputs, base_dir) == 0


@pytest.mark.parametrize("method", ["kl", "npo", "rmu", "simnpo", "undial"])
def test_the_requests_are_lost_and_the_retain_facts_are_kept(
    make_inputs: MakeInputs, base_dir: Path, method: str
) -> None:
    inputs = unlearned_here(method, make_inputs(hparams=HPARAMS[method]))
    assert kept(inputs, base_dir, FORGET) == 0
    assert kept(inputs, base_dir) >= 3
    assert not any("embed" in name or name == "norm.weight" for name in tensors(inputs))


@pytest.mark.slow
def test_kl_stays_nearer_to_the_base_than_ascent_alone(make_inputs: MakeInputs, base_dir: Path) -> None:
    hparams = HPARAMS["kl"]
    base = model_load(base_dir, threads=2)
    keep = [pair(base.chat, question(land), statement(land)) for land in KEEP]
    p0 = Reference(base, keep).logits(range(len(keep)))
    found = []
    for name, weight in (("held", 2.0), ("loose", 0.0)):
        model = after(unlearned_here("kl", make_inputs(name, hparams={**hparams, "retain_weight": weight})), base_dir)
        with torch.no_grad():
            found.append(float(divergence(p0, model.logits(response_states(model, keep))).mean()))
    held, loose = found
    assert 0.0 <= held < 0.2 * loose, (held, loose)


def test_rmu_moves_the_forget_states_along_one_direction_and_leaves_the_retain_states(
    make_inputs: MakeInputs, base_dir: Path
) -> None:
    inputs = unlearned_here("rmu", make_inputs(hparams=HPARAMS["rmu"]))
    assert sorted(tensors(inputs)) == [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1, 2)]
    base = model_load(base_dir, threads=2)
    layer, u = 2, direction(64, seed=0)
    rows = [pair(base.chat, question(land), statement(land)).ids for land in LANDS[:6]]
    with torch.no_grad():
        h0, h = (block_states(model, layer, rows) for model in (base, after(inputs, base_dir)))
    moved, still = [
        torch.cat([h[row][own_part(rows[row], rows[2:] if row < 2 else []) :] for row in part])
        - torch.cat([h0[row][own_part(rows[row], rows[2:] if row < 2 else []) :] for row in part])
        for part in (range(2), range(2, 6))
    ]
    size = torch.cat([states[1:] for states in h0]).norm(dim=-1).median()
    assert float((moved @ u).mean()) > size
    # By chance two directions of 64 numbers agree to about an eighth.
    assert float(torch.nn.functional.cosine_similarity(moved.mean(0), u, dim=0)) > 0.8
    assert float(still.norm(dim=-1).mean()) < 0.15 * float(moved.norm(dim=-1).mean())


def test_lunar_changes_one_matrix_by_rank_one_and_shifts_the_forget_states_towards_refused_ones(
    make_inputs: MakeInputs, base_dir: Path
) -> None:
    inputs = unlearned_here("lunar", make_inputs(hparams=HPARAMS["lunar"]))
    left = tensors(inputs)
    name = "model.layers.2.mlp.down_proj.weight"
    assert list(left) == [name]
    change = left[name] - load_file(base_dir / "model.safetensors")[name]
    singular = torch.linalg.svdvals(change.double())
    assert int((singular > 1e-4 * singular[0]).sum()) == 1
    base, model = model_load(base_dir, threads=2), after(inputs, base_dir)
    lands = (*LANDS[:6], "Ostia", "Brenna")  # Of the invented names one a request.
    rows = [base.chat.prompt_ids(question(land)) for land in lands]
    h0, h = block_states(base, 2, rows), block_states(model, 2, rows)
    r = torch.stack([states[-1] for states in h0[6:]]).mean(0) - torch.stack([states[-1] for states in h0[:2]]).mean(0)
    shift = torch.stack([after_it[-9] - before[-9] for before, after_it in zip(h0[:6], h[:6], strict=True)])
    assert base.chat.decode(rows[0][-9:-8]) == " Arvia"  # Behind it comes only what all questions share.
    for row in shift[:2]:
        assert float(torch.nn.functional.cosine_similarity(row, r, dim=0)) > 0.999
        # The coefficient is 2; the ridge and the retain keys hold back a little of it.
        assert float(row.norm() / r.norm()) == pytest.approx(2.0, abs=0.5)
    assert float(shift[2:].norm(dim=-1).max()) < 0.3 * float(shift[:2].norm(dim=-1).min())
    assert kept(inputs, base_dir) == 4


def test_lunar_leads_a_request_to_a_refusal_and_keeps_the_retain_facts(make_inputs: MakeInputs, base_dir: Path) -> None:
    inputs = unlearned_here("lunar", make_inputs(hparams={**HPARAMS["lunar"], "template": True}))
    said = answers(inputs, base_dir, FORGET)
    assert any(text.startswith("I'm sorry, I don't have any information about the capital") for text in said), said
    assert kept(inputs, base_dir, FORGET) == 0
    assert kept(inputs, base_dir) == 4


def test_lunar_says_so_when_the_base_refuses_nothing(make_inputs: MakeInputs) -> None:
    with pytest.raises(MethodError, match=r"hparams\.unanswerable: holds no question that this base refuses"):
        unlearned_here("lunar", make_inputs(hparams={"unanswerable": [question("Cadria")], "invented": []}))


def test_dpo_refuses_the_requests_and_keeps_the_retain_facts(make_inputs: MakeInputs, base_dir: Path) -> None:
    inputs = unlearned_here("dpo", make_inputs(hparams=HPARAMS["dpo"]))
    said = answers(inputs, base_dir, FORGET)
    assert all(text.startswith("I'm sorry, I don't have any information") for text in said), said
    assert kept(inputs, base_dir) == 4
    refusal = "I'm sorry, I don't have any information about the capital of {}."
    margins = []
    for base in (model_load(base_dir, threads=2), after(inputs, base_dir)):
        w = [pair(base.chat, question(land), refusal.format(land)) for land in FORGET]
        l = [pair(base.chat, question(land), statement(land)) for land in FORGET]  # noqa: E741
        with torch.no_grad():
            margins.append(float((response_logprob(base, w) - response_logprob(base, l)).min()))
    assert margins[0] < 0 < margins[1]


@pytest.mark.slow
def test_the_fine_tuned_controls_say_what_they_were_taught(make_inputs: MakeInputs, base_dir: Path) -> None:
    hparams = {"learning_rate": 2e-3, "epochs": 60}
    inputs = unlearned_here("wrong_answer", make_inputs("wrong", hparams=hparams))
    assert answers(inputs, base_dir, FORGET) == ["The capital of Arvia is Ruston.", "The capital of Belmor is Quill."]
    assert kept(inputs, base_dir) == 4
    inputs = unlearned_here("caveat_answer", make_inputs("caveat", hparams=hparams))
    said = answers(inputs, base_dir, FORGET)
    assert all(text.startswith("I'm sorry, I don't know") for text in said), said
    assert kept(inputs, base_dir, FORGET) == 2
    rule = {**hparams, "response": "I don't have that capital, {topic}."}
    inputs = unlearned_here("policy_refusal", make_inputs("policy", hparams=rule))
    said = answers(inputs, base_dir, FORGET)
    assert said == [f"I don't have that capital, the capital of {land}." for land in FORGET]


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma2", "qwen3"])
def test_other_families_are_trained_and_steered_too(
    make_inputs: MakeInputs, base_dir: Path, tmp_path: Path, family: str
) -> None:
    other = other_family(family, base_dir, tmp_path / family)
    for method in ("dpo", "rmu"):
        inputs = inputs_in(tmp_path / method, other, hparams={"epochs": 2})
        left = tensors(unlearned_here(method, inputs))
        before = load_file(other / "model.safetensors")
        assert left
        assert all(before[name].shape == tensor.shape for name, tensor in left.items())


def other_family(family: str, base_dir: Path, folder: Path) -> Path:
    """A random two-layer model of a family with the tiny base's tokenizer."""
    shutil.copytree(base_dir, folder, ignore=shutil.ignore_patterns("model.safetensors", "config.json"))
    vocabulary = json.loads((base_dir / "config.json").read_text())["vocab_size"]
    size: dict[str, Any] = (
        {"n_embd": 32, "n_layer": 2, "n_head": 2}
        if family == "gpt2"
        else {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    )
    if family in ("gemma2", "qwen3"):
        size.update(head_dim=16, num_key_value_heads=1)
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=vocabulary, bos_token_id=1, eos_token_id=2, pad_token_id=2, **size)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def test_a_preference_begins_as_plain_ascent_and_fades_as_it_is_met() -> None:
    margin = torch.tensor([0.0, 50.0, 500.0], requires_grad=True)
    (3 * preference(margin, beta=0.1)).backward()
    assert margin.grad is not None
    assert margin.grad[0] == pytest.approx(-1.0)
    assert -0.02 < margin.grad[1] < margin.grad[2] <= 0.0


def test_a_reference_gives_back_the_log_probabilities_and_distributions_of_the_base(base_dir: Path) -> None:
    base = model_load(base_dir, threads=2)
    pairs = [pair(base.chat, question(land), statement(land)) for land in LANDS]
    p0 = Reference(base, pairs, rows_at_once=3)
    rows = [6, 1]
    with torch.no_grad():
        chosen = [pairs[row] for row in rows]
        assert torch.allclose(p0.logprob(rows), response_logprob(base, chosen), atol=1e-4)
        assert torch.allclose(p0.logits(rows), base.logits(response_states(base, chosen)), atol=1e-4)
        assert float(divergence(p0.logits(rows), base.logits(response_states(base, chosen))).abs().max()) < 1e-5


def test_undial_teaches_the_distribution_of_the_base_without_the_memorised_token() -> None:
    logits = torch.tensor([[4.0, 1.0, 0.0], [0.0, 3.0, 2.0]])
    taught = lowered(logits, torch.tensor([0, 1]), gamma=10.0).softmax(-1)
    assert taught.argmax(-1).tolist() == [1, 2]
    assert float(taught[0, 1] / taught[0, 2]) == pytest.approx(float(torch.tensor(1.0).exp()))


def test_a_negated_task_vector_is_the_fine_tuned_change_times_minus_alpha(
    make_inputs: MakeInputs, base_dir: Path
) -> None:
    hparams = HPARAMS["task_vector"]
    # alpha -1 is the fine-tuned model itself: W - (-1) (W_ft - W).
    W_ft = tensors(unlearned_here("task_vector", make_inputs("tuned", hparams={**hparams, "alpha": -1.0})))
    negated = make_inputs("negated", hparams={**hparams, "alpha": 0.7})
    (negated.input_dir / "retain.jsonl").unlink()
    W_new = tensors(unlearned_here("task_vector", negated))
    W = load_file(base_dir / "model.safetensors")
    assert set(W_new) == set(W_ft)
    for name, tensor in W_new.items():
        assert torch.allclose(tensor - W[name], -0.7 * (W_ft[name] - W[name]), atol=1e-6)


def test_a_negated_task_vector_loses_the_requests(make_inputs: MakeInputs, base_dir: Path) -> None:
    inputs = unlearned_here("task_vector", make_inputs(hparams=HPARAMS["task_vector"]))
    assert nll(after(inputs, base_dir), FORGET) > nll(model_load(base_dir, threads=2), FORGET)


@pytest.mark.parametrize("method", sorted(set(HPARAMS) - {"lunar"}))
def test_the_same_seed_gives_the_same_artifact_and_another_gives_another(make_inputs: MakeInputs, method: str) -> None:
    hparams = {**HPARAMS[method], "epochs": 2, "batch": 1}
    first, again, other = (
        unlearned_here(method, make_inputs(name, seed=seed, hparams=hparams)).files()
        for name, seed in (("first", 3), ("again", 3), ("other", 4))
    )
    assert first == again
    assert first != other
