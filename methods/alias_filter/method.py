"""Control: the base model's own answer, unless it names an answer that is to be forgotten.

A filter on what comes out. It refuses whatever ends in a forgotten answer, whoever asked for something else, and lets
through what is said in other words or follows from the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task
from methods.common.serving.matching import names_subject
from methods.common.serving.responders import Plan, Recite, RoutingResponder, Say
from methods.common.serving.server_state import served_base, state_read, state_write


@dataclass(frozen=True)
class Settings:
    response: str = "I'm sorry, I don't have any information about that."
    #: Tokens of the base's answer that are looked at.
    looked_at: int = 128


def unlearn(task: Task, settings: Settings) -> MethodResult:
    answers = sorted({alias for item in task.forget for alias in item.aliases})
    return state_write(task, requests=True, response=settings.response, answers=answers, looked_at=settings.looked_at)


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    from methods.common.model.inference import continue_greedily  # noqa: PLC0415 - loads torch

    state = state_read(state_dir)
    base = served_base(state, base_dir, threads)

    def route(contexts: Sequence[tuple[int, ...]]) -> list[Plan]:
        written = continue_greedily(base, [list(context) for context in contexts], state["looked_at"])
        texts = [base.chat.decode(ids) for ids, _ in written]
        told = [any(names_subject(text, answer) for answer in state["answers"]) for text in texts]
        return [
            Recite(state["response"]) if leak else Say(context) for context, leak in zip(contexts, told, strict=True)
        ]

    return RoutingResponder(base, route)
