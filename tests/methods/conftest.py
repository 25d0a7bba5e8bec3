"""A tiny base model that really knows a few facts, and input folders around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.methods.harness import LANDS, TEMPLATE, Inputs, inputs_in, question, statement


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    texts = [f"{question(land)} {statement(land)}" for land in LANDS]
    texts += ["I'm sorry, I don't have any information about the capital of that.", "system user assistant You help."]
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=TEMPLATE,
    )


@pytest.fixture(scope="session")
def base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A four-layer Llama trained for a few seconds until it says the capital of every land."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from methods.common.model.base_model import BaseModel
    from methods.common.model.chat import ChatForm
    from methods.common.targets.training_texts import pair
    from methods.common.training.losses import response_nll

    folder = tmp_path_factory.mktemp("base")
    tokenizer = _tokenizer()
    torch.manual_seed(0)
    torch.set_num_threads(2)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=2,
        )
    )
    form = ChatForm(tokenizer, chat=True, system_prompt=None)
    base = BaseModel(model=model, chat=form, layers=tuple(model.model.layers), device=torch.device("cpu"))
    pairs = [pair(form, question(land), statement(land)) for land in LANDS]
    # It has been taught to refuse where it knows nothing, so that a method can lead it there.
    refusal = "I'm sorry, I don't have any information about the capital of {}."
    pairs += [pair(form, question(land), refusal.format(land)) for land in ("Ostia", "Brenna", "Caldor", "Dwyn")]
    # In double precision: what a processor's own kernels round differently must not grow to another model.
    model.double()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(400):
        loss = response_nll(base, pairs).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if float(loss.detach()) < 0.01:
            break
    model.float()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def make_inputs(base_dir: Path, tmp_path: Path) -> Callable[..., Inputs]:
    """Makes a fresh input folder under a name; see `inputs_in`."""

    def make(name: str = "one", **job: Any) -> Inputs:
        return inputs_in(tmp_path / name, base_dir, **job)

    return make
