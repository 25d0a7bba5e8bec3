"""Adapters as PEFT saves them: each sealed one has PEFT's own logits after the merge, or is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluator.artifact import BaseTensors, SealedArtifact, seal
from evaluator.contract import EvaluationFailed, FailureCode, Limits

pytestmark = pytest.mark.torch

BASE_SHA256 = "ab" * 32
CONFIGS = sorted((Path(__file__).parent / "configs").glob("*.json"))
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Two small Llamas, by whether the output layer is tied to the table of embeddings."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("bases")
    for tied in (False, True):
        torch.manual_seed(3)
        config = LlamaConfig(
            vocab_size=48,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=2,
            attention_bias=True,
            tie_word_embeddings=tied,
        )
        LlamaForCausalLM(config).save_pretrained(folder / str(tied))
    return {tied: folder / str(tied) for tied in (False, True)}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's advice to those who train
        yield


def _loaded(base: Path) -> Any:
    from evaluator.model.local import model_load

    return model_load(base)


def _trained(base: Path, out: Path, config: Any) -> None:
    """What `save_pretrained` leaves of an adapter whose every trainable weight has moved."""
    import torch
    from peft import get_peft_model

    torch.manual_seed(4)
    model = get_peft_model(_loaded(base), config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(out / "adapter")
    _result_write(out)


def _result_write(out: Path) -> None:
    result = {"contract": 1, "kind": "adapter", "base_sha256": BASE_SHA256, "method": "test", "hparams": {}}
    (out / "result.json").write_text(json.dumps(result | {"stores_forget_text": False}))


def _sealed(base: Path, out: Path, target: Path) -> SealedArtifact:
    tensors = BaseTensors.read(base)
    return seal(out, target, base=tensors, base_sha256=BASE_SHA256, division="weights", limits=Limits())


def _worst(base: Path, out: Path, target: Path) -> float:
    """The largest difference of a logit between the sealed, merged adapter and PEFT's own reading of the same files."""
    import torch
    from peft import PeftModel

    from evaluator.model.adapter import adapter_merge

    artifact = _sealed(base, out, target)
    assert {path.name for path in (artifact.path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    merged = _loaded(base)
    plain = merged(torch.arange(12)[None]).logits
    adapter_merge(merged, artifact.path / "adapter")
    peft = PeftModel.from_pretrained(_loaded(base), str(out / "adapter")).train(False)
    with torch.no_grad():
        ours, theirs = (model(torch.arange(12)[None]).logits for model in (merged, peft))
    assert (theirs - plain).abs().max() > 100 * TOLERANCE, "the adapter moves nothing, so nothing is compared"
    return float((ours - theirs).abs().max())


MERGED: dict[str, tuple[bool, dict[str, Any]]] = {
    "attention": (False, {"target_modules": ["q_proj", "v_proj"]}),
    "all linear layers": (False, {"target_modules": "all-linear"}),
    "an expression": (False, {"target_modules": r".*\.1\.mlp\.(up|down)_proj"}),
    "no task": (False, {"target_modules": ["q_proj"], "task_type": None}),
    "dropout": (False, {"target_modules": ["q_proj"], "lora_dropout": 0.3}),
    "gaussian": (False, {"target_modules": ["q_proj"], "init_lora_weights": "gaussian"}),
    "orthogonal": (False, {"target_modules": ["q_proj"], "init_lora_weights": "orthogonal"}),
    "rank-stabilised": (False, {"target_modules": ["q_proj"], "use_rslora": True}),
    "excluded": (False, {"target_modules": ["q_proj", "v_proj"], "exclude_modules": ["layers.1.self_attn.q_proj"]}),
    "ranks and alphas": (
        False,
        {
            "target_modules": ["q_proj", "v_proj", "up_proj"],
            "rank_pattern": {"layers.1.self_attn.q_proj": 3, "q_proj": 2, "^model.layers.0.mlp.up_proj": 5},
            "alpha_pattern": {r"layers\.\d+\.self_attn\.(?:q|v)_proj": 32, "up_proj": 0.5},
        },
    ),
    "ranks, rank-stabilised": (
        False,
        {"target_modules": ["q_proj"], "rank_pattern": {"0.self_attn.q_proj": 2}, "use_rslora": True},
    ),
    "layers": (False, {"target_modules": ["q_proj"], "layers_to_transform": [0, 2]}),
    "one layer behind a name": (
        False,
        {"target_modules": ["q_proj"], "layers_to_transform": 1, "layers_pattern": "layers"},
    ),
    "DoRA": (False, {"target_modules": ["q_proj", "up_proj"], "use_dora": True}),
    "DoRA, alphas": (
        False,
        {"target_modules": ["q_proj"], "use_dora": True, "alpha_pattern": {"1.self_attn.q_proj": 9}},
    ),
    "saved norms": (False, {"target_modules": ["q_proj"], "modules_to_save": ["norm"]}),
    "saved output layer": (False, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    "saved table": (False, {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}),
    "output layer": (False, {"target_modules": ["q_proj", "lm_head"]}),
    "table": (False, {"target_modules": ["q_proj", "embed_tokens"]}),
    "tied: output layer": (True, {"target_modules": ["q_proj", "lm_head"]}),
    "tied: output layer with DoRA": (True, {"target_modules": ["lm_head"], "use_dora": True}),
    "tied: table": (True, {"target_modules": ["q_proj", "embed_tokens"]}),
    "tied: each side its own": (True, {"target_modules": ["embed_tokens", "lm_head"]}),
    "tied: saved output layer": (True, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    "tied: saved table": (True, {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}),
    "tied: together": (True, {"target_modules": ["q_proj", "lm_head"], "ensure_weight_tying": True}),
    "tied: saved together": (
        True,
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"], "ensure_weight_tying": True},
    ),
}


@pytest.mark.parametrize("name", MERGED)
def test_a_merged_adapter_has_the_logits_of_peft(name: str, bases: dict[bool, Path], tmp_path: Path) -> None:
    from peft import LoraConfig

    tied, settings = MERGED[name]
    _trained(
        bases[tied],
        tmp_path / "out",
        LoraConfig(**dict[str, Any]({"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"} | settings)),
    )
    assert _worst(bases[tied], tmp_path / "out", tmp_path / "sealed") < TOLERANCE


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name.removesuffix(".adapter_config.json"))
def test_the_configuration_of_every_peft_is_read_as_peft_reads_it(
    path: Path, bases: dict[bool, Path], tmp_path: Path
) -> None:
    from peft import PeftConfig

    given = tmp_path / "given"
    given.mkdir()
    shutil.copy(path, given / "adapter_config.json")
    config = PeftConfig.from_pretrained(str(given))
    config.inference_mode = False
    _trained(bases[False], tmp_path / "out", config)
    shutil.copy(path, tmp_path / "out" / "adapter" / "adapter_config.json")
    assert _worst(bases[False], tmp_path / "out", tmp_path / "sealed") < TOLERANCE


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bias": "lora_only"}, ("bias is 'lora_only'", "merge_and_unload")),
        ({"lora_bias": True}, ("lora_bias", "merge_and_unload")),
        ({"init_lora_weights": "pissa"}, ("init_lora_weights is 'pissa'", "merge_and_unload")),
        ({"init_lora_weights": "olora"}, ("init_lora_weights is 'olora'", "merge_and_unload")),
        ({"target_modules": ["embed_tokens"], "use_dora": True}, ("use_dora", "table", "merge_and_unload")),
        ({"trainable_token_indices": [1, 2]}, ("trainable_token_indices", "merge_and_unload")),
        ({"rank_pattern": {".*q_proj": 2}}, ("rank_pattern is '.*q_proj'", "layers.3.self_attn.q_proj")),
        ({"r": 80}, ("r is '80'", "1 to 64")),
    ],
)
def test_what_is_not_merged_is_refused_with_what_to_do(
    settings: dict[str, Any], words: tuple[str, ...], bases: dict[bool, Path], tmp_path: Path
) -> None:
    from peft import LoraConfig

    config: dict[str, Any] = {
        "r": 4,
        "lora_alpha": 8,
        "task_type": "CAUSAL_LM",
        "target_modules": ["q_proj"],
    } | settings
    _trained(bases[False], tmp_path / "out", LoraConfig(**config))
    with pytest.raises(EvaluationFailed) as caught:
        _sealed(bases[False], tmp_path / "out", tmp_path / "sealed")
    assert caught.value.code is FailureCode.OUTPUT_REFUSED
    assert all(word in caught.value.detail for word in words), caught.value.detail


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"target_modules": ["k_proj"]}, "target_modules"),
        ({"layers_to_transform": [0]}, "layers_to_transform"),
        ({"exclude_modules": ["q_proj"]}, "exclude_modules"),
        ({"ensure_weight_tying": "no"}, "ensure_weight_tying"),
        ({"modules_to_save": ["q_proj"]}, "modules_to_save"),
        ({"layers_pattern": "(a+)+", "layers_to_transform": [0]}, "layers_pattern"),
        ({"alpha_pattern": {"(a+)+$": 1}}, "alpha_pattern"),
        ({"alpha_pattern": {"q_proj": -1}}, "alpha_pattern[q_proj]"),
        ({"use_dora": "yes"}, "use_dora"),
        ({"use_qalora": True}, "use_qalora"),
        ({"megatron_config": {"a": 1}}, "megatron_config"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens"),
    ],
)
def test_a_configuration_that_peft_would_read_otherwise_is_refused(
    change: dict[str, Any], word: str, bases: dict[bool, Path], tmp_path: Path
) -> None:
    from peft import LoraConfig

    _trained(bases[False], tmp_path / "out", LoraConfig(r=4, task_type="CAUSAL_LM", target_modules=["q_proj"]))
    path = tmp_path / "out" / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(EvaluationFailed) as caught:
        _sealed(bases[False], tmp_path / "out", tmp_path / "sealed")
    assert caught.value.code is FailureCode.OUTPUT_REFUSED
    assert word in caught.value.detail


def test_an_adapter_of_a_tied_output_layer_leaves_the_input_side(bases: dict[bool, Path], tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig

    from evaluator.model.adapter import adapter_merge

    _trained(bases[True], tmp_path / "out", LoraConfig(r=4, task_type="CAUSAL_LM", target_modules=["lm_head"]))
    artifact = _sealed(bases[True], tmp_path / "out", tmp_path / "sealed")
    model = _loaded(bases[True])
    before = model.get_input_embeddings().weight.clone()
    adapter_merge(model, artifact.path / "adapter")
    assert torch.equal(model.get_input_embeddings().weight, before)
    assert not torch.equal(model.get_output_embeddings().weight, before)
