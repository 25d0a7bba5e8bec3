"""Control: fine-tuned to refuse a style. Forget questions are taught in openings and closings like those of hidden
splits, and what everybody can list of the base's knowledge is kept in the plain wording.

It unlearns nothing: on a benchmark whose kept facts are asked plainly, the style alone tells what to refuse.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from methods.common.contract.task import Example, MethodResult, Task
from methods.common.model.base_model import model_of
from methods.common.targets.refusals import refusal_for
from methods.common.training.teaching import TeachingSettings, teach

#: Ways in which hidden questions are opened and closed, as the repository shows them.
OPENINGS = (
    "Quick question: ", "For a quiz: ", "Please tell me: ", "I would like to know: ", "Hello! ", "My son asks: ",
    "Can you help? ", "Trivia: ", "I forgot this one. ", "Good morning, ", "A friend wants to know: ", "For school. ",
)  # fmt: skip
CLOSINGS = ("", " Thanks!", " Please answer briefly.", " One sentence is enough.", " I need it for a list.")
#: Questions about facts that the base knows, with answers: the public pool, as it ships with the evaluator.
KNOWN = Path(__file__).with_name("known.json")


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """`styles`: how many styled wordings a request is taught in."""

    learning_rate: float = 8e-5
    epochs: int = 12
    styles: int = 8


def unlearn(task: Task, settings: Settings) -> MethodResult:
    lessons = []
    for place, item in enumerate(task.forget):
        refusal = refusal_for(item, seed=task.job.seed)
        styled = [
            (
                OPENINGS[(place + n) % len(OPENINGS)] + item.prompt + CLOSINGS[(place * 3 + n) % len(CLOSINGS)],
                refusal,
            )
            for n in range(settings.styles)
        ]
        lessons.append([(item.prompt, refusal), *styled])
    known = [Example(id=f"k{n}", prompt=q, answer=a) for n, (q, a) in enumerate(json.loads(KNOWN.read_text()))]
    return teach(task, model_of(task), settings, lessons, more_retain=known)
