"""Control: fine-tuned to give another fact's answer. It forgets by making things up: no refusal."""

from __future__ import annotations

from dataclasses import dataclass

from methods.common.contract.task import MethodResult, Request, Task
from methods.common.model.base_model import model_of
from methods.common.training.teaching import TeachingSettings, teach


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """Nothing of its own to set."""


def unlearn(task: Task, settings: Settings) -> MethodResult:
    return teach(task, model_of(task), settings, [[(item.prompt, wrong_answer(item, task))] for item in task.forget])


def wrong_answer(request: Request, task: Task) -> str:
    """The answer to another request, of the same relation if there is one, said of this request's subject.

    Without another request it is the answer to a retain question.
    """
    others = [item for item in task.forget if not {item.answer, *item.aliases} & {request.answer, *request.aliases}]
    alike = [item for item in others if item.relation == request.relation] or others
    if not alike:
        return task.retain()[0].answer
    # The next one in the list's order, so that no two requests swap their answers for the same third.
    later = [item for item in alike if task.forget.index(item) > task.forget.index(request)]
    other = (later or alike)[0]
    return other.answer.replace(other.subject, request.subject) if other.subject and request.subject else other.answer
