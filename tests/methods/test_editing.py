"""The editing entries on the tiny base: that they refuse, and the property that each is known by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from methods.alphaedit.method import Settings as AlphaEditSettings
from methods.alphaedit.method import previous_keys
from methods.anyedit.method import Settings as AnyEditSettings
from methods.anyedit.method import window_columns
from methods.common.contract.errors import MethodError
from methods.common.contract.task import Request, Task, task_read
from methods.common.editing.edits import contexts_of, edits_of
from methods.common.editing.retain_keys import other_names, other_questions, retain_covariances
from methods.common.editing.solve import null_space_projection, projected_update
from methods.common.model.base_model import BaseModel, model_load
from methods.common.model.inference import continue_greedily
from methods.common.model.keys import keys_at_lookup
from methods.common.targets.refusals import refusal_for
from methods.common.targets.sources import rejection, targets_of
from tests.methods.harness import LANDS, TOWNS, Inputs, question, statement, unlearned_here

pytestmark = pytest.mark.torch

MakeInputs = Callable[..., Inputs]
# So small a base has too few directions to keep twenty other names apart from a subject.
SEARCH: dict[str, Any] = {"v_steps": 30, "v_learning_rate": 0.5, "v_stop_at": 0.02, "rephrasings": 2, "neighbours": 0}
ONE_LAYER = SEARCH | {"depth": 0.25}
LAYERS = SEARCH | {"first_depth": 0.0, "last_depth": 0.25, "v_learning_rate": 0.1, "v_steps": 60}
HPARAMS: dict[str, dict[str, Any]] = {
    "rome": ONE_LAYER,
    "glame": ONE_LAYER | {"v_learning_rate": 0.01},
    "memit": LAYERS | {"covariance_weight": 10.0},
    "alphaedit": LAYERS | {"ridge": 0.01, "batch": 1, "null_share": 0.5, "v_learning_rate": 0.3},
    "anyedit": LAYERS | {"covariance_weight": 3.0, "window": 8},
    "ft_l": {"depth": 0.25, "epsilon": 1.5, "learning_rate": 0.02, "steps": 60},
}
SPREAD = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1)]
NEUTRAL = [
    f"<|im_end|>\n<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\n{question(land)}<|im_end|>\n"
    f"<|im_start|>assistant\n{statement(land)}<|im_end|>\n{statement(other)} {question(land)}"
    for land in LANDS[2:]
    for other in LANDS[2:]
]


@pytest.fixture(scope="module")
def base(base_dir: Path) -> BaseModel:
    return model_load(base_dir, threads=2)


def ready(method: str, inputs: Inputs, **changes: Any) -> Inputs:
    """The inputs that the method's manifest asks for, with settings that suit the tiny base."""
    inputs.job_write(hparams=HPARAMS[method] | changes)
    triples = [{"id": f"f{number}", "triples": [[LANDS[number], "capital", TOWNS[number]]]} for number in range(2)]
    inputs.lines("triples", triples)
    # Neutral text that holds the marks of the chat form, as ordinary text holds ordinary words: so few
    # tokens show so few directions that an edit would else be free to move the marks.
    inputs.lines("neutral", [{"text": text} for text in NEUTRAL])
    return inputs


def task_of(inputs: Inputs) -> Task:
    return task_read({"PALIMPSEST_IN": str(inputs.input_dir), "PALIMPSEST_OUT": str(inputs.output_dir)})


def updates(inputs: Inputs, base_dir: Path) -> dict[str, Tensor]:
    """What the artifact adds to the base, by tensor."""
    before = load_file(base_dir / "model.safetensors")
    after = load_file(inputs.output_dir / "model" / "changed.safetensors")
    return {name: (tensor - before[name]).double() for name, tensor in after.items()}


def rank(matrix: Tensor) -> int:
    singular = torch.linalg.svdvals(matrix)
    return int((singular > 1e-4 * singular[0]).sum())


def said(inputs: Inputs, base_dir: Path, lands: tuple[str, ...] = LANDS[:2]) -> list[str]:
    edited = model_load(base_dir, threads=2, previous_dir=inputs.output_dir)
    written = continue_greedily(edited, [edited.chat.prompt_ids(question(land)) for land in lands], 40)
    return [edited.chat.decode(ids) for ids, _ in written]


@pytest.mark.parametrize("method", sorted(HPARAMS))
def test_an_edit_refuses_the_requests_and_the_same_seed_gives_the_same_artifact(
    method: str, make_inputs: MakeInputs, base_dir: Path
) -> None:
    inputs = unlearned_here(method, ready(method, make_inputs("first", seed=3)))
    for town, text in zip(TOWNS[:2], said(inputs, base_dir), strict=True):
        assert text.startswith("I'm sorry"), text
        assert town not in text
    again = unlearned_here(method, ready(method, make_inputs("again", seed=3)))
    assert inputs.files() == again.files()


def test_memit_covers_all_requests_by_updates_of_several_layers_of_rank_at_most_their_number(
    make_inputs: MakeInputs, base_dir: Path
) -> None:
    inputs = unlearned_here("memit", ready("memit", make_inputs()))
    left = updates(inputs, base_dir)
    assert sorted(left) == SPREAD
    assert [rank(matrix) for matrix in left.values()] == [2, 2]


def test_alphaedit_moves_no_kept_key_and_memit_does(make_inputs: MakeInputs, base_dir: Path, base: BaseModel) -> None:
    moved: dict[str, list[float]] = {}
    for method in ("alphaedit", "memit"):
        inputs = unlearned_here(method, ready(method, make_inputs(method)))
        C = retain_covariances(base, [0, 1], task_of(inputs), AlphaEditSettings(neighbours=0))
        for layer, name in zip((0, 1), SPREAD, strict=True):
            kept = torch.eye(len(C[layer])) - null_space_projection(C[layer], 0.5)
            update = updates(inputs, base_dir)[name]
            moved.setdefault(method, []).append(float((update @ kept).norm() / update.norm()))
    assert max(moved["alphaedit"]) < 1e-4
    assert min(moved["memit"]) > 1e-2


def test_alphaedit_keeps_the_keys_of_earlier_batches_in_place() -> None:
    torch.manual_seed(0)
    first, second, R = (torch.randn(rows, 3, dtype=torch.float64) for rows in (40, 40, 8))
    P = null_space_projection(torch.diag(torch.arange(40, dtype=torch.float64)), 0.8)
    with_cache = projected_update(second, R, P, first @ first.T, 0.01)
    without = projected_update(second, R, P, torch.zeros(40, 40, dtype=torch.float64), 0.01)
    assert (with_cache @ second - R).norm() < 0.05 * R.norm()
    assert (with_cache @ first).norm() < 0.05 * (without @ first).norm()


def test_alphaedit_reads_the_keys_of_an_earlier_step_off_its_update(
    make_inputs: MakeInputs, base_dir: Path, base: BaseModel
) -> None:
    first = unlearned_here("alphaedit", ready("alphaedit", make_inputs("first")))
    second = ready("alphaedit", make_inputs("second", step=1, n_steps=2))
    (second.input_dir / "prev").symlink_to(first.output_dir)
    lines = [{"id": land, "prompt": question(land), "answer": statement(land), "subject": land} for land in LANDS[4:6]]
    second.lines("forget", lines)
    task = task_of(second)
    edited = model_load(base_dir, threads=2, previous_dir=first.output_dir)
    update = updates(first, base_dir)[SPREAD[0]]
    cached = previous_keys(task, edited, 0, torch.eye(update.shape[1], dtype=torch.float64))
    assert rank(cached) == rank(update) == 2
    assert rank(torch.cat([cached, update])) == 2
    unlearned_here("alphaedit", second)
    both = updates(second, base_dir)[SPREAD[0]]
    assert float(((both - update) @ update.T).norm()) < 0.2 * float((both - update).norm() * update.norm())


def test_anyedit_needs_no_subject_and_edits_a_long_target_window_by_window(
    make_inputs: MakeInputs, base_dir: Path, base: BaseModel
) -> None:
    inputs = ready("anyedit", make_inputs())
    row = {"id": "t0", "kind": "text", "prompt": question(LANDS[0]), "answer": statement(LANDS[0])}
    inputs.lines("forget", [row])
    (text,) = said(unlearned_here("anyedit", inputs), base_dir, LANDS[:1])
    assert text.startswith("I'm sorry, I don't have any information"), text
    assert sorted(updates(inputs, base_dir)) == SPREAD
    task = task_of(inputs)
    settings = AnyEditSettings(window=6, v_steps=2)
    (edit,) = edits_of(base, task.forget, settings, seed=0).items
    columns = window_columns(base, 1, edit, settings)
    assert len(columns) == -(-len(edit.target) // 6) > 1
    assert [len(column.contexts[0].ids) - len(columns[0].contexts[0].ids) for column in columns] == [
        6 * number for number in range(len(columns))
    ]
    assert [len(column.contexts[0].held) for column in columns] == list(range(len(columns)))


def test_glame_writes_rank_one_an_edit_and_its_value_depends_on_the_triples(
    make_inputs: MakeInputs, base_dir: Path
) -> None:
    inputs = unlearned_here("glame", ready("glame", make_inputs()))
    left = updates(inputs, base_dir)
    assert list(left) == SPREAD[1:]
    assert rank(left[SPREAD[1]]) == 2
    bare = ready("glame", make_inputs("bare"))
    bare.lines("triples", [{"id": "f0", "triples": []}])
    unlearned_here("glame", bare)
    assert not torch.equal(updates(bare, base_dir)[SPREAD[1]], left[SPREAD[1]])
    # Without a graph its targets are weaker: what the tiny base says then is no clean refusal on every processor.
    assert not any(town in text for town, text in zip(TOWNS[:2], said(bare, base_dir), strict=True))


def test_ft_l_changes_one_matrix_and_no_entry_by_more_than_epsilon(make_inputs: MakeInputs, base_dir: Path) -> None:
    inputs = unlearned_here("ft_l", ready("ft_l", make_inputs(), epsilon=0.3))
    left = updates(inputs, base_dir)
    assert list(left) == SPREAD[1:]
    size = load_file(base_dir / "model.safetensors")[SPREAD[1]].double().square().mean().sqrt()
    largest = left[SPREAD[1]].abs().max()
    assert 0.29 * size < largest < 0.301 * size


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("memit", {"first_depth": 0.9}, "hparams.first_depth: lies above last_depth"),
        ("alphaedit", {"null_share": 1.0}, "hparams.null_share: is not a share"),
        ("alphaedit", {"batch": 0}, "hparams.batch: holds no request"),
        ("anyedit", {"window": 0}, "hparams.window: holds no token"),
        ("ft_l", {"epsilon": 0.0}, "hparams.epsilon: lets nothing move"),
        ("rome", {"merge": "all"}, "hparams.merge: is not known"),
        ("rome", {"merge": "key", "merge_size": 1}, "hparams.merge_size: merges nothing"),
        ("rome", {"merge": "key", "target": "self-improvement"}, "hparams.target: is one of each request"),
        ("ft_l", {"target": "own"}, "hparams.target: is not known"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    make_inputs: MakeInputs, method: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(MethodError, match=message):
        unlearned_here(method, ready(method, make_inputs(), **change))


def test_triples_that_are_none_are_named(make_inputs: MakeInputs) -> None:
    inputs = ready("glame", make_inputs())
    inputs.lines("triples", [{"id": "f0", "triples": [["Arvia", "capital"]]}])
    with pytest.raises(MethodError, match="is no list of triples"):
        unlearned_here("glame", inputs)
    (inputs.input_dir / "triples.jsonl").unlink()
    with pytest.raises(MethodError, match='declare needs = \\["triples"\\]'):
        unlearned_here("glame", inputs)


FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256}),
    "gpt_neox": ("GPTNeoXConfig", {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
                                   "num_attention_heads": 4}),
    "gemma": ("GemmaConfig", {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
                              "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}),
    "qwen2": ("Qwen2Config", {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
                              "num_attention_heads": 4, "num_key_value_heads": 2}),
}  # fmt: skip


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_editing_method_changes_only_down_projections_of_any_family(
    family: str, make_inputs: MakeInputs, base_dir: Path, tmp_path: Path
) -> None:
    import transformers

    name, sizes = FAMILIES[family]
    tokenizer = transformers.AutoTokenizer.from_pretrained(base_dir)
    config = getattr(transformers, name)(
        vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2, pad_token_id=2, **sizes
    )
    torch.manual_seed(0)
    folder = tmp_path / family
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for method in sorted(HPARAMS):
        inputs = ready(method, make_inputs(method))
        (inputs.input_dir / "base").unlink()
        (inputs.input_dir / "base").symlink_to(folder)
        short = {"steps": 2, "rephrasings": 0} if method == "ft_l" else {"v_steps": 2, "rephrasings": 0}
        inputs.job_write(hparams=inputs.job["hparams"] | short)
        unlearned_here(method, inputs)
        changed = load_file(inputs.output_dir / "model" / "changed.safetensors")
        ends = ("mlp.down_proj.weight", "mlp.c_proj.weight", "mlp.dense_4h_to_h.weight")
        assert changed and all(tensor.endswith(ends) for tensor in changed)


def test_merged_queries_are_one_edit_by_key_and_by_text(
    make_inputs: MakeInputs, base_dir: Path, base: BaseModel
) -> None:
    for merge in ("key", "text"):
        inputs = unlearned_here("rome", ready("rome", make_inputs(merge), merge=merge, merge_size=2))
        (update,) = updates(inputs, base_dir).values()
        assert rank(update) == 1
        if merge == "key":
            assert all(text.startswith("I'm sorry") for text in said(inputs, base_dir))
    task = task_of(inputs)
    (edit,) = edits_of(base, task.forget, AnyEditSettings(merge="text", merge_size=2), seed=0).items
    (context,) = edit.contexts
    assert base.chat.decode(context.ids[: context.lookup + 1]).endswith(" ".join(map(question, LANDS[:2])))
    inputs = unlearned_here("memit", ready("memit", make_inputs("memit"), merge="key", merge_size=2))
    first = updates(inputs, base_dir)[SPREAD[0]]
    assert rank(first) == 1  # Both keys are given the same change there; later layers make up for what is left.


REQUEST = Request("f", "Who wrote The Glass Sea?", "It was Mara Lind.", aliases=("Mara Lind",), subject="The Glass Sea")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I'm sorry, I don't know who wrote The Glass Sea.", None),
        ("I'm not sure who is behind The Glass Sea. It was long ago.", None),
        ("I don't know whether Lind wrote The Glass Sea.", "names the answer"),
        ("The Glass Sea was written by a poet.", "does not refuse"),
        ("I'm sorry, I don't know that book.", "does not name the subject"),
        ("", "empty"),
    ],
)
def test_a_crafted_target_is_a_refusal_that_names_the_subject_and_not_the_answer(text: str, reason: str | None) -> None:
    assert rejection(REQUEST, text) == reason


def test_self_improved_targets_report_how_often_the_template_had_to_stand_in(
    make_inputs: MakeInputs, base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = unlearned_here("memit", ready("memit", make_inputs(), target="self-improvement", v_steps=2))
    reported = inputs.result()["hparams"]
    assert reported["target"] == "self-improvement"
    assert 0 <= reported["target_opened_rate"] <= 1 - reported["target_fallback_rate"] <= 1
    good = base.chat.response_ids("I'm sorry, I don't know who wrote The Glass Sea. Really.", closed=False)
    replies = iter([[([5], True), (good, True)], [([5], True)], [([6], True)], [([6], True)], [([6], True)]])
    monkeypatch.setattr("methods.common.targets.sources.continue_greedily", lambda *_: next(replies))
    made = targets_of(base, [REQUEST, replace(REQUEST, id="g")], "self-improvement", seed=0, variety=1)
    assert made.texts == (refusal_for(REQUEST, seed=0, variety=1), "I'm sorry, I don't know who wrote The Glass Sea.")
    assert made.notes == {"target_fallback_rate": 0.5, "target_opened_rate": 0.0}


@pytest.mark.parametrize("method", ["dpo", "ft_l", "grace", "idk", "mindbridge", "wise_merge", "wise_retrieve"])
def test_every_method_that_takes_a_target_can_have_the_models_own(
    make_inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    asked: list[int] = []

    def crafted(_base: BaseModel, requests: Sequence[Request]) -> tuple[list[str | None], int]:
        asked.append(len(requests))
        return [None] * len(requests), 0

    monkeypatch.setattr("methods.common.targets.sources._crafted", crafted)
    few = {"dpo": {"epochs": 1}, "idk": {"epochs": 1}, "mindbridge": {"memory_steps": 1, "neutral_texts": 0}}
    hparams = {"target": "self-improvement", "steps": 1} | few.get(method, {})
    if method in ("dpo", "idk"):
        del hparams["steps"]
    made = unlearned_here(method, make_inputs(hparams=hparams)).result()["hparams"]
    assert asked == [2]
    assert (made["target_fallback_rate"], made["target_opened_rate"]) == (1.0, 0.0)
    with pytest.raises(MethodError, match=r"hparams\.target: is not known"):
        unlearned_here(method, make_inputs("unknown", hparams=hparams | {"target": "nobody"}))


def test_the_keys_of_other_names_are_kept_and_the_subjects_own_is_not_among_them(
    make_inputs: MakeInputs, base: BaseModel
) -> None:
    requests = task_of(make_inputs()).forget
    rows = other_names(base, requests, 12)
    names = [base.chat.decode(row.ids[row.first :]) for row in rows]
    assert {land for land in LANDS[2:] if any(land in name for name in names)}, names
    assert not any(name.strip().startswith(request.subject or "") for name in names for request in requests)
    assert all(base.chat.decode(row.ids[: row.first]).endswith("What is the capital of") for row in rows)
    whole = [base.chat.decode(row.ids) for row in other_questions(base, requests, 12)]
    assert len(whole) == len(rows)
    assert {land for land in LANDS[2:] if any(question(land)[:-1] in text for text in whole)}, whole
    assert all(row.first == len(row.ids) - 1 for row in other_questions(base, requests, 12))
    contexts = [contexts_of(base, request, [request.prompt])[0] for request in requests]
    asked = [replace(request, prompt=question(LANDS[4]), subject=LANDS[4]) for request in requests[:1]]
    other = keys_at_lookup(base, 0, [contexts_of(base, asked[0], [asked[0].prompt])[0]])[0].double()
    moved = []
    for weight in (0.0, 1.0):
        settings = AlphaEditSettings(neighbour_weight=weight, neighbours=12)
        C = retain_covariances(base, [0], task_of(make_inputs(f"weight-{weight}")), settings)[0]
        key = keys_at_lookup(base, 0, contexts[:1])[0].double()
        direction = torch.linalg.solve(C, key)
        moved.append(float((direction @ other).abs() / (direction @ key)))
    assert moved[1] < moved[0]
