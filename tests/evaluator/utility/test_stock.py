"""lm-eval's stock tasks on our engine: data from a folder, one clear error for what is missing, a method's artifact."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
from typer.testing import CliRunner

from evaluator.cli.organiser import _app

pytestmark = pytest.mark.torch

ITEMS = [
    ("Which of these gives light?", ["A lamp", "A rock", "A shoe", "A spoon"], "ABCD", "A"),
    ("Where do fish live?", ["In sand", "In water", "In fire", "In glass"], "1234", "2"),
    ("What is hot?", ["Snow", "Ice", "Fire", "Rain"], "ABCD", "C"),
    ("What do birds do?", ["They drive", "They fly", "They read", "They cook"], "ABCD", "B"),
    ("Which is the heaviest?", ["A leaf", "A pen", "A truck"], "ABC", "C"),
]
#: The folder with lm-eval's own config of ARC: naming it saves reading the thousands of others.
ARC = Path(lm_eval.tasks.__file__).parent / "arc"
CHAT = "{% for m in messages %}{{ '<s>' + m['role'] + ' ' + m['content'] + '</s>' }}{% endfor %}<s>assistant "


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights and a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(["<s>", "</s>", *alphabet])}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    make: Any = PreTrainedTokenizerFast
    make(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="</s>", chat_template=CHAT
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.3,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a data set of ARC's form, made here; nothing is read from or written to a user's cache."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "data" / "allenai" / "ai2_arc" / "ARC-Easy"
    folder.mkdir(parents=True)
    lines = [
        {"id": str(n), "question": q, "choices": {"text": texts, "label": list(labels)}, "answerKey": key}
        for n, (q, texts, labels, key) in enumerate(ITEMS)
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "data"


def call(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(_app(["utility"]), ["utility", *map(str, arguments), "--threads", "1"])
    return done.exit_code, done.stdout, done.stderr


def scores(*arguments: object) -> dict[tuple[str, str], dict[str, Any]]:
    status, out, err = call(*arguments, "--json")
    assert status == 0, err
    return {(score["task"], score["metric"]): score for score in json.loads(out[out.index("[\n") :])}


def right_by_hand(folder: Path) -> int:
    """How many of the items a plain forward pass of the model answers correctly, as ARC is asked."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    right = 0
    for question, texts, labels, key in ITEMS:
        context = tokenizer.encode(f"Question: {question}\nAnswer:", add_special_tokens=False)
        sums = []
        for text in texts:
            tail = tokenizer.encode(f" {text}", add_special_tokens=False)
            with torch.no_grad():
                logits = model(torch.tensor([context + tail])).logits[0].log_softmax(-1)
            sums.append(sum(float(logits[len(context) - 1 + i, token]) for i, token in enumerate(tail)))
        right += sums.index(max(sums)) == labels.index(key)
    return right


def test_the_stock_task_of_lm_eval_runs_on_local_data_as_a_plain_forward_pass_would(tiny: Path, data: Path) -> None:
    found = scores("--model", tiny, "--include", ARC, "--tasks", "arc_easy", "--data", data)
    score = found["arc_easy", "acc"]
    assert score["value"] == pytest.approx(right_by_hand(tiny) / len(ITEMS))
    assert score["n"] == len(ITEMS) and score["stderr"] is not None
    assert ("arc_easy", "acc_norm") in found


def test_parquet_shards_named_as_on_the_hub_are_found_too(tiny: Path, data: Path) -> None:
    import pyarrow.json as reader
    import pyarrow.parquet as pq

    lines = data / "allenai/ai2_arc/ARC-Easy/test.jsonl"
    pq.write_table(reader.read_json(lines), lines.with_name("test-00000-of-00001.parquet"))
    lines.unlink()
    assert (
        scores("--model", tiny, "--include", ARC, "--tasks", "arc_easy", "--data", data, "--limit", 2)[
            "arc_easy", "acc"
        ]["n"]
        == 2
    )


def test_missing_data_are_named_with_the_remedy_before_any_model_is_loaded(tmp_path: Path) -> None:
    status, _, err = call("--model", tmp_path, "--include", ARC, "--tasks", "arc_challenge", "--data", tmp_path)
    assert status == 2
    assert "arc_challenge" in err and "allenai/ai2_arc" in err and "ARC-Challenge/test.jsonl" in err
    assert "Traceback" not in err


def test_without_a_hub_and_without_a_folder_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    status, _, err = call("--model", tmp_path, "--include", ARC, "--tasks", "arc_challenge")
    assert status == 2 and "arc_challenge" in err and "--data" in err and "hub" in err


def test_a_task_without_items_is_an_error_with_its_name(tmp_path: Path, data: Path) -> None:
    (data / "allenai/ai2_arc/ARC-Easy/test.jsonl").write_text("")
    status, _, err = call("--model", tmp_path, "--include", ARC, "--tasks", "arc_easy", "--data", data)
    assert status == 2 and "arc_easy" in err and "no item" in err


def test_every_task_of_lm_eval_is_known_and_an_unknown_one_names_the_nearest(tmp_path: Path) -> None:
    status, _, err = call("--model", tmp_path, "--tasks", "hellaswagg")
    assert status == 2 and "the nearest is 'hellaswag'" in err


def test_the_own_set_runs_without_any_data(tiny: Path) -> None:
    found = scores("--model", tiny, "--limit", 8)
    assert found["palimpsest_choice", "acc"]["n"] == found["palimpsest_text", "byte_perplexity"]["n"] == 8
    assert found["palimpsest_text", "byte_perplexity"]["value"] > 1


def test_an_artifact_is_checked_and_measured_over_its_base(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    from evaluator.model.base import base_seal

    monkeypatch.setenv("PALIMPSEST_HOME", str(tmp_path))
    folder = tmp_path / "models" / "tiny"
    shutil.copytree(tiny, folder)
    base = base_seal(folder, name="tiny", licence="Apache-2.0", source="random")
    artifact = tmp_path / "artifact"
    (artifact / "model").mkdir(parents=True)
    head = load_file(folder / "model.safetensors")["lm_head.weight"]
    save_file({"lm_head.weight": torch.zeros_like(head)}, artifact / "model" / "edit.safetensors")
    result = {"contract": 1, "kind": "weights", "base_sha256": base.sha256, "method": "m", "stores_forget_text": False}
    (artifact / "result.json").write_text(json.dumps(result))
    found = scores("--base", "tiny", "--artifact", artifact, "--tasks", "palimpsest_text", "--limit", 3)
    # Every token of one byte is as probable as the other 257.
    assert found["palimpsest_text", "bits_per_byte"]["value"] == pytest.approx(math.log2(258), rel=1e-4)
    (artifact / "result.json").write_text(json.dumps(result | {"base_sha256": "0" * 64}))
    status, _, err = call("--base", "tiny", "--artifact", artifact)
    assert status == 2 and "base_sha256" in err
