"""Control: what names a forget subject gets a polite sentence where the base's own answer gives that request's answer.

The look-up by name and the filter on answers in one: other facts about the subject pass, and so do other subjects with
the same answer. It still knows nothing: what is asked without the name, or answered in other words, passes too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task
from methods.common.serving.matching import names_subject
from methods.common.serving.responders import Plan, Recite, RoutingResponder, Say
from methods.common.serving.server_state import requests_of, served_base, state_read, state_write
from methods.common.targets.refusals import REFUSALS


@dataclass(frozen=True)
class Settings:
    """`response` names the topic of the request at `{topic}`."""

    response: str = REFUSALS[0]
    #: Tokens of the base's answer that are looked at.
    looked_at: int = 128


def unlearn(task: Task, settings: Settings) -> MethodResult:
    before = state_read(task.previous_dir / "state")["answers"] if task.previous_dir is not None else []
    answers = [*before, *(list(item.aliases) for item in task.forget)]
    return state_write(task, requests=True, response=settings.response, answers=answers, looked_at=settings.looked_at)


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    from methods.common.model.inference import continue_greedily  # noqa: PLC0415 - loads torch

    state = state_read(state_dir)
    base = served_base(state, base_dir, threads)
    requests = [
        (item.subject or item.prompt, answers, str(state["response"]).replace("{topic}", item.topic))
        for item, answers in zip(requests_of(state), state["answers"], strict=True)
    ]

    def route(contexts: Sequence[tuple[int, ...]]) -> list[Plan]:
        asked = [base.chat.decode(context) for context in contexts]
        named = [
            [(answers, said) for subject, answers, said in requests if names_subject(text, subject)] for text in asked
        ]
        places = [place for place, found in enumerate(named) if found]
        written = continue_greedily(base, [list(contexts[place]) for place in places], state["looked_at"])
        plans: list[Plan] = [Say(context) for context in contexts]
        for place, (ids, _) in zip(places, written, strict=True):
            text = base.chat.decode(ids)
            for answers, said in named[place]:
                if any(names_subject(text, answer) for answer in answers):
                    plans[place] = Recite(said)
        return plans

    return RoutingResponder(base, route)
