"""LTE: the model is aligned once to read edits that stand before a question; then editing is retrieval.

Jiang et al., "Learning to Edit: Aligning LLMs with Knowledge Editing", ACL 2024. Two phases:

    alignment   on other facts, with a block "[Updated Information]: d [Question]: x" and without it: in scope,
                answer from the block, NLL of the answer; out of scope, as before, KL to the base asked alone
    inference   the edit nearest to the question is put before it

The alignment does not depend on the requests: it is made of `align.jsonl` alone, as LoRA, and may lie in the image.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task, progress
from methods.common.contract.tensor_file import tensors_load, tensors_save
from methods.common.model.base_model import BaseModel, model_of
from methods.common.model.lora import LowRank, low_rank_merge
from methods.common.serving.responders import RoutingResponder, Say
from methods.common.serving.retrieval import AnswerStates, keys_found, keys_load, keys_save, retrieving
from methods.common.serving.server_state import requests_of, served_base, state_read, state_write
from methods.common.targets.edit_examples import Example, examples_of
from methods.common.targets.training_texts import Pair, pair
from methods.common.training.baked import Baking, trained_once
from methods.common.training.loop import batches_shuffled
from methods.common.training.losses import Reference, divergence, means_by_pair, response_nll, response_states

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
    longer={"steps": 400},
    full={"first_depth": 0.0, "learning_rate": 3e-4, "batch": 16, "steps": 11250},
)


@dataclass(frozen=True)
class Lesson:
    """A question, maybe behind an edit, and what to say to it. `alone` is None in scope of the edit; out of it, the row
    of the same question without one.
    """

    said: Pair
    alone: int | None


def unlearn(task: Task, settings: Settings) -> MethodResult:
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    keys_save(task.state_dir, keys_found(task, AnswerStates(base, layer), settings.reach))
    trained = trained_once(task, BAKING, settings, lambda: train(task, base, settings))
    tensors_save(task.state_dir, BAKING.state, trained.tensors)
    scale = settings.alpha / settings.rank
    return state_write(task, requests=True, layer=layer, scale=scale, reported=trained.notes)


def train(task: Task, base: BaseModel, settings: Settings) -> dict[str, Tensor]:
    """The alignment phase: A and B of every matrix, trained on the examples alone."""
    alone, lessons = _lessons(base, examples_of(task.align()), task.job.seed)
    before = Reference(base, alone)
    low_rank = LowRank(
        base,
        first=base.layer_at("hparams.first_depth", settings.first_depth),
        rank=settings.rank,
        alpha=settings.alpha,
    )
    optimiser = torch.optim.AdamW(low_rank.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    batches = batches_shuffled(len(lessons), settings.batch, task.job.seed)
    with low_rank.attached():
        for step in range(settings.steps):
            progress(0.1 + 0.8 * step / settings.steps, f"alignment, step {step + 1} of {settings.steps}")
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * (1 - step / settings.steps)
            optimiser.zero_grad()
            loss = _loss(base, [lessons[index] for index in next(batches)], before)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return low_rank.tensors


def _loss(base: BaseModel, lessons: list[Lesson], before: Reference) -> Tensor:
    """The mean over lessons of the NLL by token in scope, and of KL(base || model) by token out of scope."""
    inside = [lesson.said for lesson in lessons if lesson.alone is None]
    outside = [(lesson.said, lesson.alone) for lesson in lessons if lesson.alone is not None]
    losses = [response_nll(base, inside)] if inside else []
    if outside:
        said = [item for item, _ in outside]
        kl = divergence(before.logits([row for _, row in outside]), base.logits(response_states(base, said)))
        losses.append(means_by_pair(kl, said))
    return torch.cat(losses).mean()


def _lessons(base: BaseModel, examples: list[Example], seed: int) -> tuple[list[Pair], list[Lesson]]:
    """Every example in both wordings: behind its own edit, behind another's, alone; and its edit before another fact.

    First the questions that are asked alone: what the base says to them is what has to stay.
    """
    draw = random.Random(seed)  # nosec B311 # repeatable, not secret
    alone: dict[Pair, int] = {}
    lessons: list[Lesson] = []

    def as_before(asked: str, question: str, answer: str) -> None:
        row = alone.setdefault(pair(base.chat, question, answer), len(alone))
        lessons.append(Lesson(pair(base.chat, asked, answer), row))

    for example in examples:
        block = EDIT.format(topic=example.topic)
        other = EDIT.format(topic=draw.choice([item.topic for item in examples if item is not example] or ["that"]))
        for wording in (example.question, example.paraphrase):
            lessons.append(Lesson(pair(base.chat, _asked(block, wording), example.refusal), None))
            as_before(_asked(other, wording), wording, example.answer)
            as_before(wording, wording, example.answer)
        if example.unrelated_answer is not None:
            as_before(_asked(block, example.unrelated), example.unrelated, example.unrelated_answer)
    return list(alone), lessons


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
