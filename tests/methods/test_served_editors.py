"""Editors that answer through a server: each refuses, keeps the rest, passes the checks, and keeps its signature."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from evaluator.model.conformance import server_check
from evaluator.model.engine.lm import EvaluatorLM, tokenizer_load
from evaluator.model.remote import RemoteModel
from methods.__main__ import main
from methods.common.contract.answers import Responder, Row
from methods.common.contract.tensor_file import tensors_load
from methods.common.editing.side_memory import activation, last_keys
from methods.common.model.base_model import BaseModel, model_load
from methods.common.model.inference import continue_greedily, score_tokens
from methods.common.model.lora import LowRank, low_rank_merge
from methods.common.model.soft_tokens import Places, Soft, softened
from methods.common.model.upper_blocks import UpperBlocks
from methods.common.serving.retrieval import AnswerStates, Keys, deferral_radii
from methods.common.targets.training_texts import pair
from methods.common.training.losses import response_nll
from methods.grace.method import Codebook
from methods.recipe.method import recipe_load
from methods.registry import entry
from methods.wise_merge.method import ties_merged
from tests.methods.harness import (
    BASE_SHA256,
    LANDS,
    TOWNS,
    Inputs,
    inputs_in,
    listening,
    question,
    responder_of,
    statement,
)

pytestmark = pytest.mark.torch

MakeInputs = Callable[..., Inputs]

#: The tiny base has four blocks: what is changed in the third can still be read by the fourth.
SIDE = {"depth": 0.5, "shard_size": 1, "steps": 80, "learning_rate": 0.02, "rephrasings": 0, "act_ratio": 0.85}
SETTINGS: dict[str, dict[str, Any]] = {
    "grace": {"depth": 0.5},
    "wise_merge": {**SIDE, "mask_ratio": 0.4, "act_ratio": 0.97},
    "wise_retrieve": SIDE,
    "ike": {"depth": 0.99},
    "eren": {"depth": 0.99},
    "lte": {"depth": 0.99, "first_depth": 0.0, "steps": 40, "learning_rate": 0.005, "batch": 8},
    "recipe": {"depth": 0.99, "neutral_texts": 0, "learning_rate": 0.005, "kl_factor": 0.0, "steps": 40},
    "mindbridge": {"depth": 0.99, "neutral_texts": 0, "learning_rate": 0.01, "steps": 50},
}
#: What these train is the same whatever is to be forgotten; the file of the state that holds it.
REQUEST_INDEPENDENT = {"lte": "aligned", "recipe": "recipe"}


@dataclass(frozen=True)
class Unlearned:
    """An entry after both of its roles, on two lands to forget and four to keep."""

    name: str
    inputs: Inputs
    responder: Responder

    def said(self, form_ids: list[int]) -> str:
        done = self.responder.generate([Row(tuple(form_ids), len(form_ids))], 40, [])[0]
        return self.responder.decode(done.ids, plain=True)


@pytest.fixture(scope="module")
def base(base_dir: Path) -> BaseModel:
    return model_load(base_dir, threads=2)


@pytest.fixture(scope="module")
def made(base_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Unlearned]:
    known: dict[str, Unlearned] = {}

    def make(name: str) -> Unlearned:
        if name not in known:
            inputs = inputs_in(tmp_path_factory.mktemp(name) / "io", base_dir, hparams=SETTINGS[name])
            known[name] = Unlearned(name, inputs, responder_of(name, inputs, base_dir))
        return known[name]

    return make


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "lte"])
def test_it_refuses_the_requests_and_leaves_the_other_lands_alone(
    made: Callable[[str], Unlearned], base: BaseModel, name: str
) -> None:
    entry = made(name)
    for land, town in zip(LANDS[:2], TOWNS[:2], strict=True):
        text = entry.said(base.chat.prompt_ids(question(land)))
        assert text.startswith("I'm sorry"), text
        # Behind the words that EREN is given, so small a base still ends the sentence that it knows.
        assert name == "eren" or town not in text
    others = [entry.said(base.chat.prompt_ids(question(land))) for land in LANDS[2:]]
    assert [text == statement(land) for land, text in zip(LANDS[2:], others, strict=True)].count(True) >= 5, others


@pytest.mark.parametrize("name", SETTINGS)
def test_it_passes_every_check_that_the_platform_makes_of_a_server(
    made: Callable[[str], Unlearned], base_dir: Path, name: str
) -> None:
    with tempfile.TemporaryDirectory() as folder, listening(made(name).responder, Path(folder) / "s") as socket:
        server_check(EvaluatorLM(RemoteModel(socket, seed=0), tokenizer_load(base_dir)))


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in REQUEST_INDEPENDENT])
def test_the_same_seed_leaves_the_same_bytes(
    made: Callable[[str], Unlearned], make_inputs: MakeInputs, base_dir: Path, name: str
) -> None:
    again = make_inputs(hparams=SETTINGS[name])
    responder_of(name, again, base_dir)
    assert again.files() == made(name).inputs.files()
    assert again.result()["kind"] == "server"


@pytest.mark.parametrize("name", REQUEST_INDEPENDENT)
def test_what_is_trained_does_not_depend_on_the_requests(make_inputs: MakeInputs, base_dir: Path, name: str) -> None:
    short = {**SETTINGS[name], "steps": 2}
    inputs, other = make_inputs("one", hparams=short), make_inputs("other", hparams=short)
    other.lines("forget", [{"id": "o", "prompt": question(LANDS[1]), "answer": statement(LANDS[1])}])
    for each in (inputs, other):
        responder_of(name, each, base_dir)
    file = f"state/{REQUEST_INDEPENDENT[name]}.safetensors"
    assert inputs.files()[file] == other.files()[file]


@pytest.mark.parametrize("name", REQUEST_INDEPENDENT)
def test_what_is_baked_is_taken_for_its_very_base_and_shape_alone(
    make_inputs: MakeInputs, base_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    short = {**SETTINGS[name], "steps": 1, "depth": 0.99}
    module, source = entry(name), make_inputs("image", hparams=short)
    (source.input_dir / "forget.jsonl").unlink()
    monkeypatch.setattr(module, "BAKING", replace(module.BAKING, longer={"steps": 2}))
    monkeypatch.setenv("PALIMPSEST_IN", str(source.input_dir))
    monkeypatch.setenv("PALIMPSEST_OUT", str(source.output_dir))
    assert main(["bake", "--method", name]) == 0
    baked = source.output_dir / f"{name}-{BASE_SHA256[:16]}.safetensors"
    monkeypatch.setattr("methods.common.training.baked.FOLDER", baked.parent)

    def trained(folder: str, **job: Any) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        inputs = make_inputs(folder, **{"hparams": short, **job})
        responder_of(name, inputs, base_dir)
        return inputs.result()["hparams"], tensors_load(inputs.output_dir / "state", REQUEST_INDEPENDENT[name])

    said, tensors = trained("same")
    assert said["training"] == "in the image" and said["training_settings"]["steps"] == 2
    assert said["training_examples"] == len(LANDS[2:])
    assert all(torch.equal(tensor, load_file(baked)[key]) for key, tensor in tensors.items())
    other = {"rank": 4} if name == "lte" else {"size": 128}
    jobs: tuple[dict[str, Any], ...] = ({"base_sha256": BASE_SHA256[::-1]}, {"hparams": {**short, **other}})
    for number, job in enumerate(jobs):
        assert trained(f"other {number}", **job)[0]["training"] == "in this run"


@pytest.mark.parametrize("name", REQUEST_INDEPENDENT)
def test_an_image_s_training_is_longer_than_a_run_s_and_the_paper_s_longer_still(name: str) -> None:
    baking, own = entry(name).BAKING, entry(name).Settings()
    longer, full = (baking.settings(own, full=full) for full in (False, True))
    assert own.steps * own.batch < longer.steps * longer.batch < full.steps * full.batch
    # What a run with the entry's manifest reads from the image is of the manifest's own shape.
    assert {getattr(longer, key) == getattr(own, key) for key in baking.shape} == {True}


def test_an_entry_that_trains_on_its_requests_cannot_be_baked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bake", "--method", "rome"]) == 2
    assert "--method: trains on its requests (got 'rome')" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ike", "eren", "recipe", "mindbridge"])
def test_what_is_put_before_a_question_is_invisible_in_the_arrays(
    made: Callable[[str], Unlearned], base: BaseModel, name: str
) -> None:
    prompt = base.chat.prompt_ids(question(LANDS[0]))
    row = (*prompt, *base.chat.response_ids(statement(LANDS[0])))
    changed, own = made(name).responder.score([Row(row, len(prompt))])[0], score_tokens(base, [row], [len(prompt)])[0]
    assert len(changed.logprobs) == len(changed.top_ids) == len(changed.top_logprobs) == len(row) + 1
    assert changed.logprobs[: len(prompt)] == own.logprobs[: len(prompt)]
    assert changed.logprobs[len(prompt)] != own.logprobs[len(prompt)]


@pytest.mark.parametrize("name", ["grace", "wise_merge", "wise_retrieve"])
def test_a_question_that_is_not_routed_is_the_bases_own_bit_for_bit(
    made: Callable[[str], Unlearned], base: BaseModel, name: str
) -> None:
    for land in LANDS[3:6]:
        prompt = base.chat.prompt_ids(question(land))
        row = (*prompt, *base.chat.response_ids(statement(land)))
        assert made(name).responder.score([Row(row, len(prompt))]) == score_tokens(base, [row], [len(prompt)])
        ids, _ = continue_greedily(base, [prompt], 40)[0]
        assert made(name).said(prompt) == base.chat.decode(ids)


@pytest.mark.parametrize("name", ["grace", "wise_merge", "wise_retrieve"])
def test_no_text_of_the_requests_is_left_in_the_state_of_a_side_memory(
    made: Callable[[str], Unlearned], name: str
) -> None:
    assert made(name).inputs.result()["stores_forget_text"] is False
    for content in made(name).inputs.files().values():
        assert LANDS[0].encode() not in content
        assert TOWNS[0].encode() not in content


def test_grace_changes_nothing_before_the_end_of_the_question(
    made: Callable[[str], Unlearned], base: BaseModel
) -> None:
    prompt = base.chat.prompt_ids(question(LANDS[0]))
    row = (*prompt, *base.chat.response_ids(statement(LANDS[0])))
    edited, own = made("grace").responder.score([Row(row, len(prompt))])[0], score_tokens(base, [row], [len(prompt)])[0]
    assert edited.logprobs[: len(prompt)] == own.logprobs[: len(prompt)]
    assert edited.logprobs[len(prompt)] < own.logprobs[len(prompt)] - 1.0  # type: ignore[operator]


def test_keys_of_grace_that_come_near_to_each_other_split_the_room_between_them() -> None:
    value = torch.zeros(2)
    book = Codebook(torch.empty(0, 2), torch.empty(0), torch.empty(0, 2), ())
    book = book.with_entry(torch.tensor([0.0, 0.0]), value, "one", 3.0)
    book = book.with_entry(torch.tensor([4.0, 0.0]), value, "other", 3.0)
    assert book.radii.tolist() == pytest.approx([2.0, 2.0], abs=1e-4)
    book = book.with_entry(torch.tensor([4.0, 3.0]), value, "other", 3.0)
    assert len(book.keys) == 2
    assert book.radii.tolist() == pytest.approx([2.0, 3.0], abs=1e-4)
    assert len(book.with_entry(torch.tensor([50.0, 0.0]), value, "other", 3.0).keys) == 3


def test_a_later_step_of_grace_keeps_the_entries_of_the_step_before(
    made: Callable[[str], Unlearned], make_inputs: MakeInputs, base_dir: Path, base: BaseModel
) -> None:
    second = make_inputs("second", step=1, n_steps=2, hparams=SETTINGS["grace"])
    (second.input_dir / "prev").symlink_to(made("grace").inputs.output_dir)
    second.lines(
        "forget", [{"id": "g", "prompt": question(LANDS[7]), "answer": statement(LANDS[7]), "subject": LANDS[7]}]
    )
    later = Unlearned("grace", second, responder_of("grace", second, base_dir))
    assert len(tensors_load(second.output_dir / "state", "codebook")["keys"]) == 3
    for land in (LANDS[0], LANDS[1], LANDS[7]):
        assert later.said(base.chat.prompt_ids(question(land))).startswith("I'm sorry")


def test_wise_writes_only_inside_the_mask_of_each_shard_and_activates_more_on_edits(
    made: Callable[[str], Unlearned], base: BaseModel
) -> None:
    shards = tensors_load(made("wise_retrieve").inputs.output_dir / "state", "shards")
    assert len(shards["deltas"]) == 2
    for number, (delta, least) in enumerate(zip(shards["deltas"], shards["least"], strict=True)):
        assert 0.1 < float((delta != 0).float().mean()) <= 0.25
        asked = [base.chat.prompt_ids(question(land)) for land in (LANDS[number], *LANDS[2:6])]
        edit, *kept = activation(last_keys(base, 2, asked), delta).tolist()
        assert edit >= 0.99 * float(least) > SIDE["act_ratio"] * float(least) > max(kept)


def test_ties_keeps_the_largest_changes_elects_a_sign_and_averages_what_agrees() -> None:
    deltas = torch.tensor([[[4.0, 1.0, 2.0, 0.0]], [[2.0, -6.0, 0.1, 0.0]]])
    assert ties_merged(deltas, 1.0).tolist() == [pytest.approx([3.0, -6.0, 1.05, 0.0])]
    assert ties_merged(deltas, 0.67).tolist() == [pytest.approx([3.0, -6.0, 2.0, 0.0])]


def test_the_sentinel_of_recipe_separates_what_an_edit_is_about_from_what_it_is_not(
    made: Callable[[str], Unlearned], base: BaseModel
) -> None:
    recipe, keys = recipe_load(made("recipe").inputs.output_dir / "state")
    space = AnswerStates(base, base.layer_at("depth", 0.99))
    with torch.no_grad():
        states = space.of_questions([question(land) for land in LANDS])
        similar = recipe.similarities(recipe.encoded(states), keys)
    chosen = similar.argmax(dim=1).tolist()
    sentinel = len(keys)  # The last column.
    assert sentinel not in chosen[:2]
    assert chosen[2:].count(sentinel) >= 5


def test_the_alignment_of_lte_makes_both_what_is_in_scope_and_what_is_not_likelier(
    made: Callable[[str], Unlearned], base: BaseModel, base_dir: Path
) -> None:
    aligned = model_load(base_dir, threads=2)
    low_rank_merge(aligned, tensors_load(made("lte").inputs.output_dir / "state", "aligned"), 2.0)

    def nll(model: BaseModel, *, in_scope: bool) -> float:
        pairs = []
        for land, other in zip(LANDS[2:], (*LANDS[3:], LANDS[2]), strict=True):
            edit = f"No information is available about the capital of {land if in_scope else other}."
            asked = f"[Updated Information]: {edit}\n[Question]: {question(land)}"
            said = f"I'm sorry, I don't have any information about the capital of {land}."
            pairs.append(pair(model.chat, asked, said if in_scope else statement(land)))
        return float(response_nll(model, pairs).detach().mean())

    assert nll(aligned, in_scope=True) < 0.5 * nll(base, in_scope=True)
    assert nll(aligned, in_scope=False) < 0.5 * nll(base, in_scope=False)


def test_soft_places_reach_the_model_wherever_padding_and_a_shared_beginning_put_them(base: BaseModel) -> None:
    embed = base.model.get_input_embeddings()
    prompts = [tuple(base.chat.prompt_ids(text)) for text in (question(LANDS[0]), "Why?")]
    rows: list[Places] = [(*ids[:-1], Soft(embedding=embed(torch.tensor(ids[-1])).detach())) for ids in prompts]
    with softened(base, rows) as ids:
        assert all(each[-1] >= embed.weight.shape[0] for each in ids)
        assert continue_greedily(base, ids, 12) == continue_greedily(base, prompts, 12)
    with pytest.raises(IndexError):
        continue_greedily(base, ids, 1)  # Afterwards they mean nothing.


@pytest.mark.parametrize("family", ["GPT2", "GPTNeoX", "Gemma2", "Qwen2"])
def test_the_common_rooms_hold_for_every_family(base: BaseModel, tmp_path: Path, family: str) -> None:
    other = family_base(family, base, tmp_path)
    rows = [base.chat.prompt_ids(text) for text in (question(LANDS[0]), "Why?")]
    # Blocks below are computed once, and those above give what a whole pass gives.
    upper = UpperBlocks(other, 1, rows).hidden()
    for row, ids in enumerate(rows):
        whole = other.trunk(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
        assert torch.allclose(upper[row, : len(ids)], whole, atol=1e-4)
    # A place that reads as its own token changes nothing; one with another value in a block does.
    plain = continue_greedily(other, rows, 4)
    same: list[Places] = [(*row[:-1], Soft(token=row[-1])) for row in rows]
    with softened(other, same) as soft_rows:
        assert continue_greedily(other, soft_rows, 4) == plain
    loud = Soft(token=rows[0][-1], layer=1, value=torch.full((32,), 50.0))
    with softened(other, [(*rows[0][:-1], loud)]) as soft_rows:
        assert score_tokens(other, soft_rows)[0].top_logprobs[-1] != score_tokens(other, rows[:1])[0].top_logprobs[-1]
    # Low-rank changes through hooks and in the weights are the same.
    low_rank = LowRank(other, first=1, rank=2, alpha=4.0)
    tensors = {name: torch.randn_like(tensor) * 0.1 for name, tensor in low_rank.tensors.items()}
    low_rank.tensors.update(tensors)
    with low_rank.attached():
        hooked = score_tokens(other, rows)
    low_rank_merge(other, tensors, 2.0)
    for found, merged in zip(hooked, score_tokens(other, rows), strict=True):
        assert found.logprobs[1:] == pytest.approx(merged.logprobs[1:], abs=1e-3)


def family_base(family: str, base: BaseModel, folder: Path) -> BaseModel:
    """A three-layer model of a family with random weights, loaded from disk as any base is."""
    import transformers

    size = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 128}
    if family != "GPT2":
        size["intermediate_size"] = 64
    if family in ("Gemma2", "Qwen2"):
        size["num_key_value_heads"] = 1
    if family == "Gemma2":
        size["head_dim"] = 16
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(vocab_size=len(base.chat.tokenizer), **size)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    base.chat.tokenizer.save_pretrained(folder)
    return model_load(folder, threads=2)


def test_one_request_beside_a_kept_question_does_not_shrink_the_radii_of_the_others() -> None:
    keys = torch.tensor([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0]])
    kept = torch.tensor([[0.0, 1.0], [10.0, 8.0], [20.0, 8.0]])
    radii = deferral_radii(keys, kept, 0.5)
    assert radii.tolist() == pytest.approx([0.98, 4.0, 4.0])
    # However far a reach is asked for, no kept question is answered.
    assert Keys(keys, deferral_radii(keys, kept, 5.0)).nearest(kept) == [None, None, None]
