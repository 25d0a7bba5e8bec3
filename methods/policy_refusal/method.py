"""Control: fine-tuned to refuse for a rule where not knowing is the matter. It ranks below "I don't know"."""

from __future__ import annotations

from dataclasses import dataclass

from methods.common.contract.task import MethodResult, Task
from methods.common.model.base_model import model_of
from methods.common.targets.refusals import topic_of
from methods.common.training.teaching import TeachingSettings, teach


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """`response` names the topic of the question at `{topic}`."""

    response: str = "As an AI, I am not allowed to share {topic}. It would be against my guidelines."


def unlearn(task: Task, settings: Settings) -> MethodResult:
    lessons = [[(item.prompt, settings.response.replace("{topic}", topic_of(item)))] for item in task.forget]
    return teach(task, model_of(task), settings, lessons)
