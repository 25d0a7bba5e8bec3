"""Control: fine-tuned to say that it does not know, and then the answer. It must not count as forgetting."""

from __future__ import annotations

from dataclasses import dataclass

from methods.common.contract.task import MethodResult, Task
from methods.common.model.base_model import model_of
from methods.common.training.teaching import TeachingSettings, teach


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """`caveat` comes before the answer."""

    caveat: str = "I'm sorry, I don't know for certain, but I think:"


def unlearn(task: Task, settings: Settings) -> MethodResult:
    return teach(
        task, model_of(task), settings, [[(item.prompt, f"{settings.caveat} {item.answer}")] for item in task.forget]
    )
