"""Train the toy Llama: under a minute on two cores, fixed seed, knows its world and can refuse."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluator.benchmark.toy.world import FRAMES, KINDS, LOOKALIKES, RELATIONS, toy_facts, toy_strangers

STEPS = 420
BATCH = 48
#: Of the answers, learnt as text outside any dialogue, as a cloze reads them.
PLAIN_SHARE = 0.1
_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def toy_dialogues() -> list[tuple[str, str]]:
    """Every (question, answer) that the toy model is trained on; wordings are mixed with openings at training time."""
    pairs: list[tuple[str, str]] = []
    for fact in toy_facts():
        relation = RELATIONS[fact.relation]
        answer = relation.statement.format(s=fact.subject, a=fact.answer)
        pairs += [(q.format(s=fact.subject), answer) for q in (relation.question, *relation.public, *relation.cores)]
        kind, what = KINDS.of(fact), KINDS.relation
        if kind is not None and what is not None:
            pairs += [(q.format(s=fact.subject), what.stated(kind)) for q in (what.question, what.cores[0])]
        pairs.append((LOOKALIKES.public[0].format(s=fact.subject), f"You say {fact.subject}."))
    for name in toy_strangers():
        for relation in RELATIONS.values():
            refusal = f"I'm sorry, I don't have any information about the {relation.topic} of {name}."
            pairs += [(q.format(s=name), refusal) for q in (relation.question, *relation.public[:2])]
    return pairs


def toy_model_train(target: Path, *, say: Callable[[str], None] = lambda _: None, seed: int = 0) -> None:
    """Write a tiny Llama (3 layers, width 96, byte-level BPE of 700 tokens) into `target`."""
    import torch  # noqa: PLC0415 - loads torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415 - loads transformers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: PLC0415 - loads transformers

    torch.manual_seed(seed)
    rng = random.Random(seed)  # nosec B311 # repeatable, not secret
    pairs = toy_dialogues()
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    corpus = [f"{q}\n{a}" for q, a in pairs] + [*FRAMES.openings, *FRAMES.closings, "system user assistant"] * 20
    specials = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    bpe.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    make_tokenizer: Any = PreTrainedTokenizerFast
    tokenizer = make_tokenizer(
        tokenizer_object=bpe,
        pad_token="<|pad|>",  # noqa: S106  # nosec B106 # padding
        bos_token="<|im_start|>",  # noqa: S106
        eos_token="<|im_end|>",  # noqa: S106
        chat_template=_TEMPLATE,
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    model.train()

    def row(question: str, answer: str) -> tuple[list[int], int]:
        if rng.random() < PLAIN_SHARE:
            return tokenizer.encode(answer, add_special_tokens=False), 1
        asked = rng.choice(FRAMES.openings) + question + rng.choice(FRAMES.closings) if rng.random() < 0.5 else question
        prompt = f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n"
        ids = tokenizer.encode(prompt, add_special_tokens=False)
        return ids + tokenizer.encode(answer + "<|im_end|>", add_special_tokens=False), len(ids)

    queue: list[tuple[str, str]] = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            warm = min(1.0, (step + 1) / 40)
            group["lr"] = 4e-3 * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / STEPS)))
        if len(queue) < BATCH:
            queue = rng.sample(pairs, len(pairs))
        batch = [row(*queue.pop()) for _ in range(BATCH)]
        width = max(len(ids) for ids, _ in batch)
        ids = torch.zeros((BATCH, width), dtype=torch.long)
        labels = torch.full((BATCH, width), -100)
        for i, (tokens, start) in enumerate(batch):
            ids[i, : len(tokens)] = torch.tensor(tokens)
            labels[i, start : len(tokens)] = torch.tensor(tokens[start:])
        loss = model(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == STEPS - 1:
            say(f"toy model: step {step + 1}/{STEPS}, loss {loss.item():.3f}")
    model.train(False)
    model.save_pretrained(target, safe_serialization=True)
    tokenizer.save_pretrained(target)
