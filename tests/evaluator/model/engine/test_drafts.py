"""Drafts and guesses: whatever is guessed, what is said is what the model says token by token."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluator.model.engine.drafts import Drafts
from evaluator.model.engine.lm import EvaluatorLM
from evaluator.model.engine.primitives import PrimitiveStore
from evaluator.model.local import LocalModel, weights_sha256
from tests.evaluator.model.engine.test_engine import VOCABULARY, Letters, llama


class Faithful(Letters):
    """Text and tokens are the same thing, so that a draft is what its text says."""

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [ord(c) - 0x100 for c in text]


LETTERS: Any = Faithful()
ALPHABET = "".join(chr(0x100 + token) for token in range(1, VOCABULARY))
TOKENS = 24


def plainly(model: LocalModel, prompts: list[list[int]]) -> list[str]:
    """The model's own greedy answers, one prompt at a time, without a cache."""
    texts = []
    for prompt in prompts:
        said: list[int] = []
        while len(said) < TOKENS:
            with torch.inference_mode():
                token = int(model.model(torch.tensor([[*prompt, *said]])).logits[0, -1].argmax())
            if token in model.stop_ids:
                break
            said.append(token)
        texts.append(LETTERS.decode(said, skip_special_tokens=True))
    return texts


def prompts_of(count: int, seed: int) -> list[list[int]]:
    rng = random.Random(seed)
    return [[5, 6, *rng.choices(range(1, VOCABULARY), k=rng.randint(1, 20))] for _ in range(count)]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), seed=st.integers(0, 999))
def test_no_draft_changes_what_is_said(data: st.DataObject, seed: int) -> None:
    """The true answer, its beginning, its end cut wrong, another prompt's answer, noise, one that is too long."""
    model = LocalModel(llama(), LETTERS)
    prompts = prompts_of(9, seed)
    true = plainly(model, prompts)

    def draft(place: int) -> str:
        own = true[place]
        spoilt = own[: len(own) // 2] + ALPHABET[0] + own[len(own) // 2 + 1 :]
        return data.draw(
            st.sampled_from(["", own, own[:3], own + own, spoilt, true[place - 1], ALPHABET[7] * 60])
            | st.text(ALPHABET, max_size=30)
        )

    drafts = [draft(place) for place in range(len(prompts))]
    assert model.generate(prompts, max_tokens=TOKENS, stop=(), drafts=drafts) == true
    assert model.generate(prompts, max_tokens=TOKENS, stop=()) == true


def test_a_right_draft_takes_one_pass_and_a_wrong_one_costs_no_more_than_none() -> None:
    prompts = prompts_of(6, 1)
    model = LocalModel(llama(), LETTERS)
    true = model.generate(prompts, max_tokens=TOKENS, stop=())
    alone, model.pace.passes = model.pace.passes, 0
    assert model.generate(prompts, max_tokens=TOKENS, stop=(), drafts=true) == true
    assert model.pace.passes <= 4 < alone and model.pace.accepted > 0
    model.pace.passes = 0
    assert model.generate(prompts, max_tokens=TOKENS, stop=(), drafts=[ALPHABET[7] * TOKENS] * 6) == true
    assert model.pace.passes <= alone + 1


def test_a_stop_string_ends_inside_a_draft_as_it_does_outside() -> None:
    prompts = prompts_of(6, 2)
    model = LocalModel(llama(), LETTERS)
    whole = model.generate(prompts, max_tokens=TOKENS, stop=())
    stop = next(text[4] for text in whole if len(text) > 4)
    cut = model.generate(prompts, max_tokens=TOKENS, stop=[stop])
    assert cut == [text.split(stop)[0] for text in whole]
    assert model.generate(prompts, max_tokens=TOKENS, stop=[stop], drafts=whole) == cut


def test_guesses_come_from_the_answer_learned_last_and_hold_its_end() -> None:
    drafts = Drafts({(1, 2): [7, 8, 9, 0]}, end=0)
    assert drafts.of([1, 2], 3) == [7, 8, 9] and drafts.of([1], 3) == []
    assert drafts.after([], 9) == [7, 8, 9, 0] and drafts.after([7, 8], 1) == [9]
    drafts.learn([7, 8, 5])
    assert drafts.after([7, 8], 4) == [5, 0] and drafts.after([5, 5, 5], 4) == [] and drafts.after([7], 0) == []


def test_the_bases_stored_answers_are_drafts_for_every_other_model(tmp_path: Path) -> None:
    base, edited = llama(), llama()
    with torch.no_grad():
        edited.model.layers[0].mlp.down_proj.weight.mul_(1.02)
    store = PrimitiveStore(tmp_path / "release.sqlite")
    store.base_write(weights_sha256(base))
    prompts = [LETTERS.decode(prompt) for prompt in prompts_of(8, 3)]
    EvaluatorLM(LocalModel(base, LETTERS), LETTERS, store=store, fingerprint=weights_sha256(base)).generate(
        prompts, max_tokens=TOKENS
    )
    store.close()
    own = PrimitiveStore(tmp_path / "own.sqlite", shared=tmp_path / "release.sqlite")
    named = own.base_read()
    assert named == weights_sha256(base)
    drafted, alone = LocalModel(edited, LETTERS), LocalModel(edited, LETTERS)
    lm = EvaluatorLM(drafted, LETTERS, store=own, fingerprint=weights_sha256(edited), draft_from=[named])
    assert lm.generate(prompts, max_tokens=TOKENS) == EvaluatorLM(alone, LETTERS).generate(prompts, max_tokens=TOKENS)
    assert drafted.pace.accepted > 0 and drafted.pace.passes <= alone.pace.passes
