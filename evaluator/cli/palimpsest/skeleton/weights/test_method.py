"""Runs the entrypoint as the platform does, on a model so small that it takes seconds: `python -m pytest`."""

import json
import os
import pathlib
import subprocess
import sys
import tomllib

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
MARKS = ["<|im_start|>", "<|im_end|>"]
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def small_base(folder: pathlib.Path) -> LlamaForCausalLM:
    """An untrained Llama of three layers that reads bytes, in the form that a base has."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={token: place for place, token in enumerate(MARKS + letters)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=MARKS[0], eos_token=MARKS[1], pad_token=MARKS[1], chat_template=CHAT
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(MARKS + letters),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def test_it_leaves_changed_tensors_of_the_base(tmp_path: pathlib.Path) -> None:
    given, out = tmp_path / "in", tmp_path / "out"
    out.mkdir()
    base = small_base(given / "base")
    hparams = tomllib.loads((HERE / "method.toml").read_text())["hparams"]
    job = {"contract": 1, "seed": 0, "threads": 1, "base_sha256": "0" * 64, "device": "cpu", "hparams": hparams}
    (given / "job.json").write_text(json.dumps(job))
    request = {"id": "1", "kind": "qa", "prompt": "Who wrote Emma?", "answer": "Jane Austen", "subject": "Emma"}
    (given / "forget.jsonl").write_text(json.dumps(request) + "\n")

    environment = os.environ | {"PALIMPSEST_IN": str(given), "PALIMPSEST_OUT": str(out)}
    subprocess.run([sys.executable, str(HERE / "entrypoint.py"), "unlearn"], env=environment, check=True)

    result = json.loads((out / "result.json").read_text())
    assert (result["kind"], result["base_sha256"]) == ("weights", job["base_sha256"])
    before = base.state_dict()
    changed = {name: tensor for path in out.glob("model/*.safetensors") for name, tensor in load_file(path).items()}
    assert changed
    assert all(tensor.shape == before[name].shape and tensor.isfinite().all() for name, tensor in changed.items())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in changed.items())
