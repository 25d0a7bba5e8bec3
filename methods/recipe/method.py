"""RECIPE: an encoder turns each edit into a short soft prompt, and a knowledge sentinel decides whether it is used.

Chen et al., "Lifelong Knowledge Editing for LLMs with Retrieval-Augmented Continuous Prompt Learning", EMNLP
2024. In the paper's symbols: x an encoded text, K and Q the heads for knowledge and for queries, Theta the
sentinel, and the soft prompt p = MLP(K(x)) of a few embeddings before a question:

    retrieve  k* = argmax_k Q(q) . k ,  used only if  Q(q) . k*  >  Q(q) . K(Theta)
    L_edit    NLL of the refusal behind p and the question, or the question reworded
    L_local   KL(base || base behind p) on questions that the edit is not about
    L_pair    -log softmax of: a query to its own knowledge among all and the sentinel; the same query to the
              sentinel once its own is taken out; an unrelated query to the sentinel

All of it is trained once on `align.jsonl`, with the language model frozen, and may lie in the image; an edit is
one pass of the encoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task, progress
from methods.common.contract.tensor_file import tensors_load, tensors_save
from methods.common.model.base_model import BaseModel, model_of
from methods.common.serving.responders import Plan, RoutingResponder, Say
from methods.common.serving.retrieval import AnswerStates
from methods.common.serving.server_state import served_base, state_read, state_write
from methods.common.targets.edit_examples import Example, examples_of
from methods.common.training.baked import Baking, trained_once
from methods.common.training.loop import batches_shuffled
from methods.common.training.losses import divergence
from methods.common.training.soft_prefix import ResidualMLP, embedding_scale, next_token, prefix_nll, with_prefix


@dataclass(frozen=True)
class Settings:
    """The paper: three soft tokens, 4,096 numbers, batches of 8, learning rate 1e-5, a RoBERTa as encoder."""

    depth: float = 0.87
    soft_tokens: int = 3
    size: int = 256
    pair_steps: int = 100
    pair_learning_rate: float = 1e-3
    noise: float = 0.5
    neutral_texts: int = 60
    steps: int = 120
    batch: int = 4
    learning_rate: float = 2e-3
    kl_factor: float = 0.1


BAKING = Baking(
    method="recipe",
    state="recipe",
    shape=("depth", "soft_tokens", "size"),
    longer={"pair_steps": 200, "steps": 360},
    full={"size": 4096, "batch": 8, "pair_steps": 1000, "steps": 150_000, "learning_rate": 1e-5, "kl_factor": 1.0},
)


class Recipe(nn.Module):
    """The heads, the sentinel and the prompt generator, over the base's own answer states as encoder."""

    mean: Tensor
    spread: Tensor
    scale: Tensor

    def __init__(self, width: int, size: int, soft_tokens: int, scale: float) -> None:
        super().__init__()
        self.query = ResidualMLP(width, size, size)
        self.knowledge = ResidualMLP(width, size, size)
        # Alike at first: then queries are near to the knowledge that they resemble before anything is learned.
        self.knowledge.load_state_dict(self.query.state_dict())
        self.sentinel = nn.Parameter(torch.zeros(width))
        self.generator = ResidualMLP(size, size, soft_tokens * width)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(1))
        self.register_buffer("scale", torch.tensor([scale]))
        self._width = width

    def encoded(self, states: Tensor) -> Tensor:
        """Answer states, (texts, width), centred and scaled to about 1 a number."""
        centred: Tensor = (states - self.mean) / self.spread
        return centred

    def similarities(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Q(q) . k / sqrt(size) for every key and, in the last column, the sentinel, (queries, keys + 1)."""
        known = torch.cat([keys, self.knowledge(self.sentinel)[None]])
        similar: Tensor = self.query(queries) @ known.T / math.sqrt(known.shape[1])
        return similar

    def prompts(self, keys: Tensor) -> Tensor:
        """The soft prompt of every key, (keys, soft tokens, width), in the size of real embeddings."""
        made: Tensor = self.generator(keys)
        return made.view(len(keys), -1, self._width) * self.scale


def unlearn(task: Task, settings: Settings) -> MethodResult:
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    trained = trained_once(task, BAKING, settings, lambda: train(task, base, settings))
    recipe = recipe_of(trained.tensors)
    questions = [item.prompt for item in task.forget]
    with torch.no_grad():
        keys = recipe.knowledge(recipe.encoded(AnswerStates(base, layer).of_questions(questions)))
    if task.previous_dir is not None:
        keys = torch.cat([tensors_load(task.previous_dir / "state", "memory")["keys"], keys])
    tensors_save(task.state_dir, BAKING.state, trained.tensors)
    tensors_save(task.state_dir, "memory", {"keys": keys})
    return state_write(task, requests=False, layer=layer, reported=trained.notes)


def train(task: Task, base: BaseModel, settings: Settings) -> dict[str, Tensor]:
    """The meta-training: first which knowledge a query is about, then what a soft prompt should say."""
    examples = examples_of(task.align())
    space = AnswerStates(base, base.layer_at("hparams.depth", settings.depth))
    asked = space.of_questions([item.question for item in examples])
    reworded = space.of_questions([item.paraphrase for item in examples])
    foreign = space.of_questions([text[:200] for text in task.neutral()[: settings.neutral_texts]])
    recipe = Recipe(asked.shape[1], settings.size, settings.soft_tokens, embedding_scale(base))
    recipe.mean.copy_(asked.mean(dim=0))
    recipe.spread.copy_((asked - recipe.mean).square().mean().sqrt().clamp(min=1e-6)[None])
    groups = (recipe.encoded(asked), recipe.encoded(reworded), recipe.encoded(foreign))
    _train_pairing(recipe, groups, settings)
    _train_prompts(base, recipe, groups[0], examples, settings, task.job.seed)
    return dict(recipe.state_dict())


def _train_pairing(recipe: Recipe, groups: tuple[Tensor, Tensor, Tensor], settings: Settings) -> None:
    """L_pair over all examples at once; noise on the states stands for wordings that are not among them."""
    asked, reworded, foreign = groups
    count = len(asked)
    own, sentinel = torch.arange(count).repeat(2), torch.full((2 * count,), count)
    without_own = torch.cat([torch.eye(count), torch.zeros(count, 1)], dim=1).repeat(2, 1).bool()
    parameters = [*recipe.query.parameters(), *recipe.knowledge.parameters(), recipe.sentinel]
    optimiser = torch.optim.AdamW(parameters, lr=settings.pair_learning_rate)
    for _ in range(settings.pair_steps):
        queries = torch.cat([asked, reworded])
        queries = queries + settings.noise * torch.randn_like(queries)
        keys = recipe.knowledge(asked)
        similar = recipe.similarities(queries, keys)
        loss = nn.functional.cross_entropy(similar, own)
        loss = loss + nn.functional.cross_entropy(similar.masked_fill(without_own, -1e9), sentinel)
        if len(foreign):
            unrelated = recipe.similarities(foreign, keys)
            loss = loss + nn.functional.cross_entropy(unrelated, sentinel[:1].expand(len(foreign)))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _train_prompts(
    base: BaseModel, recipe: Recipe, asked: Tensor, examples: list[Example], settings: Settings, seed: int
) -> None:
    """L_edit + kl_factor L_local, through the frozen language model."""
    keys = recipe.knowledge(asked).detach()
    optimiser = torch.optim.AdamW(recipe.generator.parameters(), lr=settings.learning_rate)
    batches = batches_shuffled(len(examples), settings.batch, seed)
    for step in range(settings.steps):
        progress(0.1 + 0.85 * step / settings.steps, f"prompt training, step {step + 1} of {settings.steps}")
        chosen = next(batches)
        prompts = recipe.prompts(keys[chosen]).to(base.device)
        wordings = [examples[i].question if (step + n) % 2 else examples[i].paraphrase for n, i in enumerate(chosen)]
        contexts = [
            with_prefix(base, base.chat.prompt_ids(wording), prompt)
            for wording, prompt in zip(wordings, prompts, strict=True)
        ]
        refusals = [base.chat.response_ids(examples[i].refusal) for i in chosen]
        loss = prefix_nll(base, contexts, refusals).mean()
        if settings.kl_factor > 0:
            others = [base.chat.prompt_ids(examples[i].unrelated) for i in chosen]
            with torch.no_grad():
                before = next_token(base, [tuple(ids) for ids in others])
            behind = [with_prefix(base, ids, prompt) for ids, prompt in zip(others, prompts, strict=True)]
            loss = loss + settings.kl_factor * divergence(before, next_token(base, behind)).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state = state_read(state_dir)
    base = served_base(state, base_dir, threads)
    recipe, keys = recipe_load(state_dir)
    space = AnswerStates(base, state["layer"])
    with torch.no_grad():
        prompts = recipe.prompts(keys)

    @torch.no_grad()
    def route(contexts: Sequence[tuple[int, ...]]) -> list[Plan]:
        similar = recipe.similarities(recipe.encoded(space.of_contexts(contexts)), keys)
        return [
            # The last column is the sentinel: it wins where no knowledge is about the question.
            Say(context) if best == len(keys) else Say(with_prefix(base, context, prompts[best]))
            for context, best in zip(contexts, similar.argmax(dim=1).tolist(), strict=True)
        ]

    return RoutingResponder(base, route)


def recipe_load(state_dir: Path) -> tuple[Recipe, Tensor]:
    """The trained parts and the keys of all edits, (edits, size), from a state folder."""
    return recipe_of(tensors_load(state_dir, BAKING.state)), tensors_load(state_dir, "memory")["keys"]


def recipe_of(tensors: dict[str, Tensor]) -> Recipe:
    """The trained parts; their sizes are read off the tensors."""
    width = len(tensors["mean"])
    size = tensors["query.direct.weight"].shape[0]
    recipe = Recipe(width, size, len(tensors["generator.direct.bias"]) // width, 1.0)
    recipe.load_state_dict(tensors)
    return recipe.eval()
