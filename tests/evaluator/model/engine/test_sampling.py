"""Answers drawn from the model's own distribution: repeatable, and greedy where it is cold."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from evaluator.model.engine.lm import EvaluatorLM, tokenizer_load
from evaluator.model.local import LocalModel, model_load


@pytest.mark.torch
def test_drawn_answers_are_the_same_every_time_and_each_prompt_is_read_once(toy_home: Path) -> None:
    base = toy_home / "models" / "toy-llama"
    tokenizer = tokenizer_load(base)
    lm = EvaluatorLM(LocalModel(model_load(base), tokenizer), tokenizer)
    prompts = [
        lm.apply_chat_template([{"role": "user", "content": f"What is the capital of {s}?"}]) for s in ("A", "Bo")
    ]
    drawn = lm.sampled(prompts, count=5, temperature=1.5, max_tokens=12)
    assert [len(answers) for answers in drawn] == [5, 5] and len({*drawn[0]}) > 1
    assert drawn == lm.sampled(prompts, count=5, temperature=1.5, max_tokens=12)
    cold = lm.sampled(prompts, count=3, temperature=1e-4, max_tokens=12)
    assert cold == [[greedy] * 3 for greedy in lm.generate(prompts, max_tokens=12)]
