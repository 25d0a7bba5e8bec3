"""EREN: edits are notes, read as a text to be understood; what the notes do not answer is left to the base.

Chen et al., "Robust and Scalable Model Editing for Large Language Models", LREC-COLING 2024. Two steps:

    1.  "Read this and answer the question. If the question is unanswerable, say 'unanswerable'."
        with the notes nearest to the question  ->  an answer, or "unanswerable"
    2.  only if unanswerable: the bare question, asked of the base

A note says that nothing is known about a topic, so the answer to be read from it is a refusal. A model of a
hundred million parameters does not follow the instruction when it writes, but it can weigh the two answers:
step 1 asks whether  log P(refusal) - log P("unanswerable"),  per token, is above `margin`. Notes are retrieved
within a radius; a question with no note near to it is unanswerable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task
from methods.common.model.base_model import BaseModel, model_of
from methods.common.model.inference import score_tokens
from methods.common.serving.responders import Plan, RoutingResponder, Say
from methods.common.serving.retrieval import AnswerStates, Keys, by_question, keys_found, keys_load, keys_save
from methods.common.serving.server_state import StoredRequest, requests_of, served_base, state_read, state_write
from methods.common.targets.refusals import REFUSALS

INSTRUCTION = 'Read this and answer the question. If the question is unanswerable, say "unanswerable".'
NOTE = "Nothing is known about {topic}. Who asks for it is told: {refusal}"


@dataclass(frozen=True)
class Settings:
    """`notes` are shown, the nearest last; `margin` in nats a token; `opened`: the refusal's first words are given."""

    depth: float = 0.87
    reach: float = 0.8
    notes: int = 2
    margin: float = 0.0
    opened: bool = True


class Reader:
    """The notes, and the weighing of step 1."""

    def __init__(self, base: BaseModel, requests: Sequence[StoredRequest], keys: Keys, shown: int) -> None:
        self._base, self._requests = base, requests
        #: Beside its note a question is shown those nearest to that note, the same whatever is asked.
        self._near = torch.cdist(keys.states, keys.states).argsort(dim=1)[:, : max(1, shown)].tolist()

    def weighed(self, questions: Sequence[str], notes: Sequence[int]) -> list[tuple[float, list[int]]]:
        """How much likelier the refusal is than "unanswerable", and the context, for each question and note."""
        contexts, refusals = [], []
        for question, number in zip(questions, notes, strict=True):
            others = [other for other in self._near[number] if other != number][: len(self._near[number]) - 1]
            shown = [_note(self._requests[other]) for other in (*others[::-1], number)]
            contexts.append(self._base.chat.prompt_ids("\n".join([INSTRUCTION, *shown, f"Question: {question}"])))
            refusals.append(_refusal(self._requests[number]))
        answers = [self._base.chat.response_ids(text) for text in [*refusals, "unanswerable"]]
        rows = [[*context, *answers[number]] for number, context in enumerate(contexts)]
        rows += [[*context, *answers[-1]] for context in contexts]
        count = len(contexts)
        scored = score_tokens(self._base, rows, [len(ids) for ids in contexts * 2], contexts_too=False)
        means = [_mean(item.logprobs[len(ids) : -1]) for item, ids in zip(scored, contexts * 2, strict=True)]
        gains = [answered - refused for answered, refused in zip(means[:count], means[count:], strict=True)]
        return list(zip(gains, contexts, strict=True))


def _mean(logprobs: Sequence[float | None]) -> float:
    known = [value for value in logprobs if value is not None]
    return sum(known) / len(known)


def _refusal(request: StoredRequest) -> str:
    return REFUSALS[0].format(topic=request.topic)


def _note(request: StoredRequest) -> str:
    return NOTE.format(topic=request.topic, refusal=_refusal(request))


def unlearn(task: Task, settings: Settings) -> MethodResult:
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    keys_save(task.state_dir, keys_found(task, AnswerStates(base, layer), settings.reach))
    return state_write(
        task, requests=True, layer=layer, notes=settings.notes, opened=settings.opened, margin=settings.margin
    )


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state, keys = state_read(state_dir), keys_load(state_dir)
    base = served_base(state, base_dir, threads)
    space = AnswerStates(base, state["layer"])
    reader = Reader(base, requests_of(state), keys, state["notes"])
    start = REFUSALS[0].split("{")[0].rstrip()
    opening = tuple(base.chat.response_ids(start, closed=False)) if state["opened"] else ()

    def plans_for(questions: Sequence[str]) -> list[Plan | None]:
        notes = keys.nearest(space.of_questions(questions))
        read = [(question, note) for question, note in zip(questions, notes, strict=True) if note is not None]
        weighed = iter(reader.weighed([question for question, _ in read], [note for _, note in read]))
        plans: list[Plan | None] = []
        for note in notes:
            gain, context = (0.0, []) if note is None else next(weighed)
            answered = note is not None and gain > state["margin"]
            plans.append(Say(tuple(context), opening) if answered else None)
        return plans

    return RoutingResponder(base, by_question(base, plans_for))
