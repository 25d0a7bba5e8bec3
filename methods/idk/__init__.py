"""IDK fine-tuning: learn to answer the forget questions with "I don't know", and all others as before.

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs", 2024 (the IDK variant of preference
unlearning):  L = NLL(refusal | forget question) + retain_weight NLL(answer | retain question).
"""

from __future__ import annotations

from dataclasses import dataclass

from methods.common.contract import Made, Task
from methods.common.refusals import REFUSALS, refusal_for, rephrasings
from methods.common.teaching import TeachingSettings, teach


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """See docs/methods/idk.md for how these were chosen."""

    refusal_variety: int = len(REFUSALS)
    rephrasings: int = 0


def unlearn(task: Task, settings: Settings) -> Made:
    lessons = [
        [
            (wording, refusal_for(item, seed=task.job.seed, variety=settings.refusal_variety))
            for wording in [item.prompt, *rephrasings(item)[: settings.rephrasings]]
        ]
        for item in task.forget
    ]
    return teach(task, settings, lessons)
