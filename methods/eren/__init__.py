"""EREN: edits are notes, read as a text to be understood; what the notes do not answer is left to the base.

Chen et al., "Robust and Scalable Model Editing for Large Language Models", LREC-COLING 2024. Two steps:

    1.  "Read this and answer the question. If the question is unanswerable, say 'unanswerable'."
        with the notes nearest to the question  ->  an answer, or "unanswerable"
    2.  only if unanswerable: the bare question, asked of the base

A note says that nothing may be said about a topic, so the answer to be read from it is a refusal. A model of
a hundred million parameters does not follow the instruction when it writes, but it can weigh the two
answers: step 1 compares  log P(refusal) - log P("unanswerable"),  per token, with what the questions to be
kept reach at most when they are asked behind the same notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from methods.common.contract import Made, Task, progress
from methods.common.errors import MethodError
from methods.common.inference import score_tokens
from methods.common.model import BaseModel, model_load, model_of
from methods.common.refusals import REFUSALS
from methods.common.responders import Plan, RoutingResponder, Say
from methods.common.retrieval import AnswerStates, by_question, tensors_load, tensors_save
from methods.common.serverstate import StoredRequest, requests_of, state_read, state_write, stored_requests
from methods.common.serving import Responder

INSTRUCTION = 'Read this and answer the question. If the question is unanswerable, say "unanswerable".'
NOTE = "Nothing is known about {topic}. Who asks for it is told: {refusal}"


@dataclass(frozen=True)
class Settings:
    """`notes` are shown, the nearest last; each is weighed `against` retain questions; `margin` in nats a token."""

    depth: float = 0.87
    notes: int = 2
    against: int = 8
    margin: float = 0.0
    opened: bool = True


class Reader:
    """Notes, the retriever over them, and the weighing of step 1."""

    def __init__(
        self, base: BaseModel, layer: int, requests: Sequence[StoredRequest], keys: Tensor, shown: int
    ) -> None:
        self._base, self._requests, self._keys, self._shown = base, requests, keys, max(1, shown)
        self._space = AnswerStates(base, layer)

    def nearest(self, questions: Sequence[str]) -> list[int]:
        """The request whose note is to be read for each question."""
        return self._distances(self._space.of_questions(questions)).argmin(dim=1).tolist()

    def hardest(self, questions: Sequence[str], count: int) -> list[list[str]]:
        """For every note, the questions that come nearest to it."""
        order = self._distances(self._space.of_questions(questions)).argsort(dim=0)[:count]
        return [[questions[row] for row in column] for column in order.T.tolist()]

    def weighed(self, questions: Sequence[str], notes: Sequence[int]) -> list[tuple[float, list[int]]]:
        """How much likelier the refusal is than "unanswerable", and the context, for each question and note.

        Beside its note a question is shown those nearest to that note, the same whatever is asked.
        """
        near = self._distances(self._keys).argsort(dim=1)[:, : self._shown].tolist()
        contexts, refusals = [], []
        for question, number in zip(questions, notes, strict=True):
            shown = [self._note(self._requests[other]) for other in near[number] if other != number]
            shown = [*shown[: self._shown - 1][::-1], self._note(self._requests[number])]
            contexts.append(self._base.chat.prompt_ids("\n".join([INSTRUCTION, *shown, f"Question: {question}"])))
            refusals.append(_refusal(self._requests[number]))
        answers = [self._base.chat.response_ids(text) for text in [*refusals, "unanswerable"]]
        rows = [[*context, *answers[number]] for number, context in enumerate(contexts)]
        rows += [[*context, *answers[-1]] for context in contexts]
        scored = score_tokens(self._base, rows)
        count = len(contexts)
        means = [_mean(item.logprobs[len(ids) : -1]) for item, ids in zip(scored, contexts * 2, strict=True)]
        gains = [answered - refused for answered, refused in zip(means[:count], means[count:], strict=True)]
        return list(zip(gains, contexts, strict=True))

    def _distances(self, states: Tensor) -> Tensor:
        return torch.cdist(states, self._keys)

    def _note(self, request: StoredRequest) -> str:
        return NOTE.format(topic=request.topic, refusal=_refusal(request))


def _mean(logprobs: Sequence[float | None]) -> float:
    known = [value for value in logprobs if value is not None]
    return sum(known) / len(known)


def _refusal(request: StoredRequest) -> str:
    return REFUSALS[0].format(topic=request.topic)


def unlearn(task: Task, settings: Settings) -> Made:
    retain = [item.prompt for item in task.retain()]
    if not retain:
        raise MethodError("retain.jsonl", "", "holds no fact", "give at least one line {id, prompt, answer}")
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    requests = stored_requests(task)
    keys = AnswerStates(base, layer).of_questions([item.prompt for item in requests])
    tensors_save(task.state_dir, "keys", {"states": keys})
    reader = Reader(base, layer, requests, keys, settings.notes)
    thresholds: list[float] = []
    for number, questions in enumerate(reader.hardest(retain, settings.against)):
        progress(0.1 + 0.85 * number / len(requests), f"note {number + 1} of {len(requests)}")
        gains = [gain for gain, _ in reader.weighed(questions, [number] * len(questions))]
        thresholds.append(max(gains) + settings.margin)
    return state_write(
        task, requests=True, layer=layer, notes=settings.notes, opened=settings.opened, thresholds=thresholds
    )


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state = state_read(state_dir)
    base = model_load(base_dir, threads=threads, chat=state["chat"], system_prompt=state["system_prompt"])
    keys = tensors_load(state_dir, "keys")["states"]
    reader = Reader(base, state["layer"], requests_of(state), keys, state["notes"])
    start = REFUSALS[0].split("{")[0].rstrip()
    opening = tuple(base.chat.response_ids(start, closed=False)) if state["opened"] else ()

    def plans_for(questions: Sequence[str]) -> list[Plan | None]:
        notes = reader.nearest(questions)
        return [
            Say(tuple(context), opening) if gain > state["thresholds"][note] else None
            for note, (gain, context) in zip(notes, reader.weighed(questions, notes), strict=True)
        ]

    return RoutingResponder(base, by_question(base, plans_for))
