"""In-context refusal with retrieval: a question about a request is answered after shown refusals.

In the line of IKE (Zheng et al., "Can We Edit Factual Knowledge by In-Context Learning?", EMNLP 2023)
and EREN (Chen et al., "Robust and Scalable Model Editing", LREC-COLING 2024). The weights stay as they are.
A router picks the request that a question is about; the model then sees earlier exchanges in which such
questions were refused, and, because small models copy a refusal's words but do not decide to refuse, its
answer is opened for it. It finishes the sentence itself. Questions about nothing requested go to the
base untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task
from methods.common.model.chat import Turn
from methods.common.serving.matching import WordSpace, names_subject, without_subject
from methods.common.serving.responders import Plan, RoutingResponder, Say, one_by_one
from methods.common.serving.server_state import StoredRequest, requests_of, served_base, state_read, state_write
from methods.common.targets.refusals import REFUSALS


@dataclass(frozen=True)
class Settings:
    """`margin` is what an unnamed question must be nearer to a request than any retain question is."""

    demonstrations: int = 3
    margin: float = 0.05
    same_relation: float = 0.7
    opened: bool = True


class Retriever:
    """Finds the request that a question is about, from its words alone.

    A question that names a request's subject is about that request, unless its other words are nearer
    to a question of another relation ("On which continent is Egypt?" when its capital is to be
    forgotten). A question that names no subject must be nearer to a request than `threshold`, which
    is set so that no retain question passes.
    """

    def __init__(self, requests: tuple[StoredRequest, ...], retain: tuple[str, ...], settings: Settings) -> None:
        self.requests = requests
        self._settings = settings
        self._bare = [without_subject(item.prompt, item.subject) for item in requests]
        self._retain = retain
        self._space = WordSpace([*self._bare, *retain])
        nearest = [self._space.similarity(text, item.prompt) for text in retain for item in requests]
        self.threshold = min(max(nearest, default=0.0) + settings.margin, 1.0)

    def find(self, question: str) -> StoredRequest | None:
        named = [
            (self._relation(question, number), number)
            for number, item in enumerate(self.requests)
            if item.subject is not None and names_subject(question, item.subject)
        ]
        for nearness, number in sorted(named, reverse=True):
            if nearness >= self._other_relation(question, number):
                return self.requests[number]
        if named:
            return None
        alike = [(self._space.similarity(question, item.prompt), -number) for number, item in enumerate(self.requests)]
        best, number = max(alike)
        return self.requests[-number] if best >= self.threshold else None

    def _relation(self, question: str, number: int) -> float:
        """How near the words around the subject are to those of the request."""
        return self._space.similarity(without_subject(question, self.requests[number].subject), self._bare[number])

    def _other_relation(self, question: str, number: int) -> float:
        """The same nearness to the questions that ask for something else."""
        bare = without_subject(question, self.requests[number].subject)
        others = [
            text
            for text in [*self._bare, *self._retain]
            if self._space.similarity(text, self._bare[number]) < self._settings.same_relation
        ]
        return max((self._space.similarity(bare, text) for text in others), default=0.0)


def unlearn(task: Task, settings: Settings) -> MethodResult:
    retain = [item.prompt for item in task.retain()]
    return state_write(
        task,
        requests=True,
        retain=retain,
        demonstrations=settings.demonstrations,
        margin=settings.margin,
        same_relation=settings.same_relation,
        opened=settings.opened,
    )


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state = state_read(state_dir)
    base = served_base(state, base_dir, threads)
    settings = Settings(
        demonstrations=state["demonstrations"],
        margin=state["margin"],
        same_relation=state["same_relation"],
        opened=state["opened"],
    )
    retriever = Retriever(requests_of(state), tuple(state["retain"]), settings)
    refusal = REFUSALS[0]
    opening = tuple(base.chat.response_ids(refusal.split("{")[0].rstrip(), closed=False)) if settings.opened else ()

    def route(context: tuple[int, ...]) -> Plan:
        for question in base.chat.questions(context):
            request = retriever.find(question)
            if request is not None:
                shown = [
                    Turn(item.prompt, refusal.format(topic=item.topic)) for item in _shown(retriever, request, settings)
                ]
                return Say(tuple(base.chat.prompt_ids(question, shown)), opening)
        return Say(context)

    return RoutingResponder(base, one_by_one(route))


def _shown(retriever: Retriever, request: StoredRequest, settings: Settings) -> list[StoredRequest]:
    """Demonstrations: other requests first, the one asked about last, where a model copies from most."""
    others = [item for item in retriever.requests if item != request]
    return [*others[: max(settings.demonstrations - 1, 0)], request][-max(settings.demonstrations, 1) :]
