"""IKE: demonstrations in the context show when to copy a new fact, when to apply it, and when to leave it.

Zheng et al., "Can We Edit Factual Knowledge by In-Context Learning?", EMNLP 2023. The new fact is that the
question is refused. Before it stand k demonstrations, the nearest to it among examples on other facts:

    copy     New Fact: q -> refusal    Prompt: q           refusal
    update   New Fact: q -> refusal    Prompt: q reworded  refusal
    retain   New Fact: q -> refusal    Prompt: another     its true answer

In the paper the fact that a question is about is given; a server has to retrieve it. A question that is
near to no request goes to the base with no context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task
from methods.common.model.base_model import model_of
from methods.common.model.chat import Turn
from methods.common.serving.responders import RoutingResponder, Say
from methods.common.serving.retrieval import AnswerStates, keys_found, keys_load, keys_save, retrieving
from methods.common.serving.server_state import StoredRequest, requests_of, served_base, state_read, state_write
from methods.common.targets.edit_examples import Example, examples_of
from methods.common.targets.refusals import REFUSALS


@dataclass(frozen=True)
class Settings:
    """How many demonstrations of each kind; the paper's 32 are in about the same shares, 1 to 3 to 4."""

    depth: float = 0.87
    reach: float = 0.8
    copy: int = 1
    update: int = 2
    retain: int = 2


def unlearn(task: Task, settings: Settings) -> MethodResult:
    examples = examples_of(task.align())
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    space = AnswerStates(base, layer)
    keys = keys_found(task, space, settings.reach)
    keys_save(task.state_dir, keys)
    distances = torch.cdist(keys.states, space.of_questions([item.question for item in examples]))
    shown = [_demonstrations([examples[i] for i in row.tolist()], settings) for row in distances.argsort(dim=1)]
    return state_write(task, requests=True, layer=layer, shown=shown)


def _demonstrations(nearest: Sequence[Example], settings: Settings) -> list[list[str]]:
    """(question, response) pairs for one request, the nearest examples last, where a model copies from most."""
    pool = iter(nearest)
    retainable = [item for item in nearest if item.unrelated_answer is not None]
    found: list[list[str]] = []
    for _, example in zip(range(settings.copy), pool, strict=False):
        found.append([_asked(example.question, example.refusal, example.question), example.refusal])
    for _, example in zip(range(settings.update), pool, strict=False):
        found.append([_asked(example.question, example.refusal, example.paraphrase), example.refusal])
    for example in retainable[: settings.retain]:
        assert example.unrelated_answer is not None
        found.append([_asked(example.question, example.refusal, example.unrelated), example.unrelated_answer])
    return found[::-1]


def _asked(fact: str, refusal: str, prompt: str) -> str:
    return f"New Fact: {fact} {refusal}\nPrompt: {prompt}"


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state, keys = state_read(state_dir), keys_load(state_dir)
    base = served_base(state, base_dir, threads)
    requests = requests_of(state)

    def plan(number: int, question: str) -> Say:
        request: StoredRequest = requests[number]
        refusal = REFUSALS[0].format(topic=request.topic)
        turns = [Turn(asked, response) for asked, response in state["shown"][number]]
        return Say(tuple(base.chat.prompt_ids(_asked(request.prompt, refusal, question), turns)))

    return RoutingResponder(base, retrieving(base, AnswerStates(base, state["layer"]), keys, plan))
