"""IDK fine-tuning: learn to answer the forget questions with "I don't know", and all others as before.

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs", 2024 (the IDK variant of preference
unlearning):  L = NLL(refusal | forget question) + retain_weight NLL(answer | retain question).
"""

from __future__ import annotations

from dataclasses import dataclass

from methods.common.contract.task import MethodResult, Task
from methods.common.model.base_model import model_of
from methods.common.targets.refusals import REFUSALS, wordings
from methods.common.targets.sources import targets_of
from methods.common.training.teaching import TeachingSettings, teach


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """See docs/methods/idk.md for how these were chosen."""

    target: str = "template"
    refusal_variety: int = len(REFUSALS)
    rephrasings: int = 0


def unlearn(task: Task, settings: Settings) -> MethodResult:
    base = model_of(task)
    seed, variety = task.job.seed, settings.refusal_variety
    targets = targets_of(base, task.forget, settings.target, seed=seed, variety=variety)
    lessons = [
        [(wording, target) for wording in wordings(item, settings.rephrasings)]
        for item, target in zip(task.forget, targets.texts, strict=True)
    ]
    return teach(task, base, settings, lessons, targets.notes)
