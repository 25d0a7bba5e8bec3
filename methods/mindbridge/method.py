"""MindBridge: edits live in a memory encoder, and a projector hands its reading to the model as one more embedding.

Li et al., "MindBridge: Scalable and Cross-Model Knowledge Editing via Memory-Augmented Modality", 2025. Two
stages; the language model is frozen in both:

    I   the memory E is trained on the edits:   injection    restore the words that a masked edit lacks
                                                existence    tell edits from texts that are none
                                                association  restore the answer from the question
    II  the projector P is trained:             NLL(refusal | P(E(x)), x) on edits
                                                KL_T(base || base behind P(E(x))) on the last token of other texts

The embedding P(E(x)) stands before every question, with no gate: where x is no edit, P has to say nothing.
The paper's E is a BERT; here it reads the base's own answer states, and its words are those of the edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Request, Task, progress
from methods.common.contract.tensor_file import tensors_load, tensors_save
from methods.common.model.base_model import BaseModel, model_of
from methods.common.model.soft_tokens import Places
from methods.common.serving.matching import without_subject
from methods.common.serving.responders import Plan, RoutingResponder, Say
from methods.common.serving.retrieval import AnswerStates
from methods.common.serving.server_state import served_base, state_read, state_write
from methods.common.targets.refusals import topic_of, wordings
from methods.common.targets.sources import targets_of
from methods.common.training.loop import batches_shuffled
from methods.common.training.losses import divergence
from methods.common.training.soft_prefix import ResidualMLP, embedding_scale, next_token, prefix_nll, with_prefix


@dataclass(frozen=True)
class Settings:
    """The paper: stage I 120 epochs at 7e-5, stage II up to 80 at 8e-5, batches of 16 to 32, temperature 1.5."""

    target: str = "template"
    depth: float = 0.87
    size: int = 256
    memory_steps: int = 300
    memory_learning_rate: float = 1e-3
    noise: float = 0.3
    neutral_texts: int = 40
    rephrasings: int = 2
    steps: int = 80
    batch: int = 3
    learning_rate: float = 1e-3
    kl_factor: float = 1.0
    temperature: float = 1.5
    dropout: float = 0.2


class Memory(nn.Module):
    """E, its three heads of stage I, and P, which makes an embedding of the model's width of what E reads."""

    mean: Tensor
    spread: Tensor
    scale: Tensor

    def __init__(self, width: int, size: int, words: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = ResidualMLP(width, size, size)
        self.injection = nn.Linear(size, words)
        self.existence = nn.Linear(size, 1)
        self.association = nn.Linear(size, words)
        self.projector = nn.Sequential(
            nn.Linear(size, 2 * size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * size, width)
        )
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(1))
        self.register_buffer("scale", torch.tensor([scale]))

    def read(self, states: Tensor) -> Tensor:
        """E(x): what the memory holds about answer states, (texts, width) to (texts, size)."""
        read: Tensor = self.encoder((states - self.mean) / self.spread)
        return read

    def projected(self, states: Tensor) -> Tensor:
        """P(E(x)), (texts, width), in the size of real embeddings."""
        made: Tensor = self.projector(self.read(states)) * self.scale
        return made


@dataclass(frozen=True)
class Edits:
    """Every wording of every request with its answer state, and the request that it belongs to."""

    contexts: list[list[int]]
    states: Tensor
    request: list[int]
    refusals: list[list[int]]
    notes: dict[str, Any]


def unlearn(task: Task, settings: Settings) -> MethodResult:
    retain, neutral = task.retain(), task.neutral()
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    space = AnswerStates(base, layer)
    edits = _edits(base, space, task.forget, settings, task.job.seed)
    others = [base.chat.prompt_ids(text) for text in [*(item.prompt for item in retain), *_short(neutral, settings)]]
    other_states = space.of_contexts(others)
    words = sorted({token for item in task.forget for token in _words(base, f"{item.prompt} {topic_of(item)}")})
    memory = Memory(edits.states.shape[1], settings.size, len(words), embedding_scale(base), settings.dropout)
    together = torch.cat([edits.states, other_states])
    memory.mean.copy_(together.mean(dim=0))
    memory.spread.copy_((together - memory.mean).square().mean().sqrt().clamp(min=1e-6)[None])
    _train_memory(base, space, memory, edits, other_states, task.forget, words, settings)
    _train_projector(base, memory, edits, others[: len(retain)], other_states, settings, task.job.seed)
    served = {name: tensor for name, tensor in memory.state_dict().items() if not name.startswith(_HEADS)}
    tensors_save(task.state_dir, "memory", served)
    return state_write(task, requests=False, reported=edits.notes, layer=layer)


_HEADS = ("injection", "existence", "association")


def _edits(base: BaseModel, space: AnswerStates, requests: Sequence[Request], settings: Settings, seed: int) -> Edits:
    asked = [wordings(item, settings.rephrasings) for item in requests]
    contexts = [base.chat.prompt_ids(text) for texts in asked for text in texts]
    targets = targets_of(base, requests, settings.target, seed=seed, variety=1)
    return Edits(
        contexts=contexts,
        states=space.of_contexts(contexts),
        request=[number for number, texts in enumerate(asked) for _ in texts],
        refusals=[base.chat.response_ids(text) for text in targets.texts],
        notes=targets.notes,
    )


def _short(texts: Sequence[str], settings: Settings) -> list[str]:
    return [text[:200] for text in texts[: settings.neutral_texts]]


def _words(base: BaseModel, text: str) -> list[int]:
    ids: list[int] = base.chat.tokenizer(" " + text, add_special_tokens=False)["input_ids"]
    return ids


def _bags(base: BaseModel, texts: Sequence[str], words: list[int]) -> Tensor:
    """Which of the words each text has, (texts, words), 0 or 1."""
    column = {token: number for number, token in enumerate(words)}
    bags = torch.zeros(len(texts), len(words))
    for row, text in enumerate(texts):
        bags[row, [column[token] for token in _words(base, text) if token in column]] = 1.0
    return bags


def _train_memory(
    base: BaseModel,
    space: AnswerStates,
    memory: Memory,
    edits: Edits,
    other_states: Tensor,
    requests: Sequence[Request],
    words: list[int],
    settings: Settings,
) -> None:
    """Stage I: injection, existence and association, all edits at once; noise stands for other wordings."""
    # A request without its subject lacks the subject, and one of its subject alone lacks the relation.
    masked = [(without_subject(item.prompt, item.subject), item.subject or item.prompt) for item in requests]
    masked += [(item.subject or item.prompt, without_subject(item.prompt, item.subject)) for item in requests]
    masked_states = space.of_questions([left for left, _ in masked])
    lacking = _bags(base, [gone for _, gone in masked], words)
    topics = _bags(base, [topic_of(item) for item in requests], words)[edits.request]
    exists = torch.cat([torch.ones(len(edits.states)), torch.zeros(len(other_states))])
    parts = [memory.encoder, memory.injection, memory.existence, memory.association]
    optimiser = torch.optim.AdamW([p for part in parts for p in part.parameters()], lr=settings.memory_learning_rate)
    loss_of = nn.functional.binary_cross_entropy_with_logits

    def noisy(states: Tensor) -> Tensor:
        return states + settings.noise * memory.spread * torch.randn_like(states)

    for _ in range(settings.memory_steps):
        read = memory.read(noisy(torch.cat([edits.states, other_states])))
        loss = loss_of(memory.existence(read)[:, 0], exists)
        loss = loss + loss_of(memory.association(read[: len(edits.states)]), topics)
        loss = loss + loss_of(memory.injection(memory.read(noisy(masked_states))), lacking)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _train_projector(
    base: BaseModel,
    memory: Memory,
    edits: Edits,
    kept: list[list[int]],
    kept_states: Tensor,
    settings: Settings,
    seed: int,
) -> None:
    """Stage II: only P moves; the memory and the language model are frozen."""
    optimiser = torch.optim.AdamW(memory.projector.parameters(), lr=settings.learning_rate)
    edit_batches = batches_shuffled(len(edits.contexts), settings.batch, seed)
    kept_batches = batches_shuffled(len(kept), settings.batch, seed + 1)
    for step in range(settings.steps):
        progress(0.15 + 0.8 * step / settings.steps, f"projector, step {step + 1} of {settings.steps}")
        chosen, left = next(edit_batches), next(kept_batches)
        contexts = _behind(base, memory, [edits.contexts[row] for row in chosen], edits.states[chosen])
        loss = prefix_nll(base, contexts, [edits.refusals[edits.request[row]] for row in chosen]).mean()
        plain = [tuple(kept[row]) for row in left]
        with torch.no_grad():
            before = next_token(base, plain)
        after = next_token(base, _behind(base, memory, plain, kept_states[left]))
        kl = divergence(before / settings.temperature, after / settings.temperature).mean()
        loss = loss + settings.kl_factor * kl
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _behind(base: BaseModel, memory: Memory, contexts: Sequence[Sequence[int]], states: Tensor) -> list[Places]:
    prefixes = memory.projected(states).to(base.device)
    return [with_prefix(base, ids, prefix[None]) for ids, prefix in zip(contexts, prefixes, strict=True)]


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state, tensors = state_read(state_dir), tensors_load(state_dir, "memory")
    base = served_base(state, base_dir, threads)
    memory = Memory(len(tensors["mean"]), tensors["encoder.direct.weight"].shape[0], 1, 1.0)
    memory.load_state_dict(tensors, strict=False)  # The heads of stage I are not served.
    memory.eval()
    space = AnswerStates(base, state["layer"])

    @torch.no_grad()
    def route(contexts: Sequence[tuple[int, ...]]) -> list[Plan]:
        return [Say(places) for places in _behind(base, memory, contexts, space.of_contexts(contexts))]

    return RoutingResponder(base, route)
