"""LTE: the model is aligned once to read edits that stand before a question; then editing is retrieval.

Jiang et al., "Learning to Edit: Aligning LLMs with Knowledge Editing", ACL 2024. Two phases:

    alignment   on other facts, with a block "[Updated Information]: d [Question]: x" and without it: in scope,
                answer from the block; out of scope, as before; loss: mean NLL of the answer
    inference   the edit nearest to the question is put before it

The alignment does not depend on the requests: it is made of `align.jsonl` alone, as LoRA, and may lie in the image.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from methods.common.aligned import Example, examples_of
from methods.common.baked import Baking, trained_once
from methods.common.contract import Made, Task, progress
from methods.common.lora import LowRank, low_rank_merge
from methods.common.losses import response_nll
from methods.common.model import BaseModel, model_of
from methods.common.pairs import Pair, pair
from methods.common.responders import RoutingResponder, Say
from methods.common.retrieval import AnswerStates, keys_found, keys_load, keys_save, retrieving
from methods.common.serverstate import requests_of, served_base, state_read, state_write
from methods.common.serving import Responder
from methods.common.tensorfile import tensors_load, tensors_save
from methods.common.training import batches_shuffled

EDIT = "No information is available about {topic}."


@dataclass(frozen=True)
class Settings:
    """The paper: 60,000 examples, 3 epochs, rank 8, alpha 16, learning rate 3e-4."""

    depth: float = 0.87
    reach: float = 0.8
    first_depth: float = 0.3
    rank: int = 8
    alpha: float = 16.0
    learning_rate: float = 5e-4
    steps: int = 160
    batch: int = 4


BAKING = Baking(
    method="lte",
    state="aligned",
    shape=("first_depth", "rank", "alpha"),
    longer={"steps": 480},
    full={"first_depth": 0.0, "learning_rate": 3e-4, "batch": 16, "steps": 11250},
)


def unlearn(task: Task, settings: Settings) -> Made:
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    keys_save(task.state_dir, keys_found(task, AnswerStates(base, layer), settings.reach))
    trained = trained_once(task, BAKING, settings, lambda: train(task, base, settings))
    tensors_save(task.state_dir, BAKING.state, trained.tensors)
    scale = settings.alpha / settings.rank
    return state_write(task, requests=True, layer=layer, scale=scale, reported=trained.notes)


def train(task: Task, base: BaseModel, settings: Settings) -> dict[str, Tensor]:
    """The alignment phase: A and B of every matrix, trained on the examples alone."""
    pairs = _pairs(base, examples_of(task.align()), task.job.seed)
    low_rank = LowRank(
        base,
        first=base.layer_at("hparams.first_depth", settings.first_depth),
        rank=settings.rank,
        alpha=settings.alpha,
    )
    optimiser = torch.optim.AdamW(low_rank.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    batches = batches_shuffled(len(pairs), settings.batch, task.job.seed)
    with low_rank.attached():
        for step in range(settings.steps):
            progress(0.1 + 0.8 * step / settings.steps, f"alignment, step {step + 1} of {settings.steps}")
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * (1 - step / settings.steps)
            optimiser.zero_grad()
            loss = response_nll(base, [pairs[index] for index in next(batches)]).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return low_rank.tensors


def _pairs(base: BaseModel, examples: list[Example], seed: int) -> list[Pair]:
    """Every example in both wordings: behind its own edit, behind another's, alone; and before another fact."""
    draw = random.Random(seed)  # nosec B311 # repeatable, not secret
    found: list[Pair] = []
    for example in examples:
        block = EDIT.format(topic=example.topic)
        other = EDIT.format(topic=draw.choice([item.topic for item in examples if item is not example] or ["that"]))
        for wording in (example.question, example.paraphrase):
            found.append(pair(base.chat, _asked(block, wording), example.refusal))
            found.append(pair(base.chat, _asked(other, wording), example.answer))
            found.append(pair(base.chat, wording, example.answer))
        if example.unrelated_answer is not None:
            found.append(pair(base.chat, _asked(block, example.unrelated), example.unrelated_answer))
    return found


def _asked(edit: str, question: str) -> str:
    return f"[Updated Information]: {edit}\n[Question]: {question}"


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state, keys = state_read(state_dir), keys_load(state_dir)
    # Keys are states of the base as it was, so questions are read by a copy of it.
    reader = served_base(state, base_dir, threads)
    base = served_base(state, base_dir, threads)
    low_rank_merge(base, tensors_load(state_dir, BAKING.state), state["scale"])
    requests = requests_of(state)

    def plan(number: int, question: str) -> Say:
        return Say(tuple(base.chat.prompt_ids(_asked(EDIT.format(topic=requests[number].topic), question))))

    return RoutingResponder(base, retrieving(base, AnswerStates(reader, state["layer"]), keys, plan))
